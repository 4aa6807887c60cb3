#!/usr/bin/env python3
"""tests/docs/dashboards_test.py: the dashboards show the data source and the namespace that are chosen, and the rules keep the namespace."""

import json
import pathlib
import re
import unittest

OBSERVABILITY = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "observability"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Dashboards(unittest.TestCase):
    def dashboards(self):
        files = sorted((OBSERVABILITY / "grafana" / "dashboards").glob("*.json"))
        self.assertGreaterEqual(len(files), 3)
        return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}

    def test_have_their_variables(self):
        for name, dashboard in self.dashboards().items():
            kinds = {variable["name"]: variable["type"] for variable in dashboard["templating"]["list"]}
            self.assertEqual(kinds, {"datasource": "datasource", "namespace": "query"}, name)

    def test_every_panel_asks_the_chosen_source_for_the_chosen_namespace(self):
        for name, dashboard in self.dashboards().items():
            for panel in dashboard["panels"]:
                for target in panel.get("targets", []):
                    self.assertEqual(panel["datasource"], SOURCE, f"{name}: {panel['title']}")
                    series = re.findall(r"(?<![\w:])((?:[a-z]+[_:][\w:]*[a-z_]|ALERTS)(?:_total|:\w+)?)\{([^}]*)\}", target["expr"])
                    self.assertTrue(series, target["expr"])
                    for metric, selector in series:
                        self.assertIn('namespace=~"$namespace"', selector, f"{name}: {metric} in {target['expr']}")
                    bare = re.findall(r"\b(?:stockalert|process|haproxy|scrape)[_:][\w:]+(?![\w:{])", target["expr"])
                    self.assertEqual(bare, [], f"{name}: {target['expr']}")

    def test_the_rules_keep_the_namespace(self):
        text = (OBSERVABILITY / "rules" / "stockalert.yml").read_text(encoding="utf-8")
        text = re.sub(r"(?m)^ *#.*$", "", text)
        sums = re.findall(r"\b(?:sum|max|min|count|group|avg)\b(?: by \(([^)]*)\))? ?\(", text)
        self.assertGreater(len(sums), 30)
        for labels in sums:
            self.assertIn("namespace", labels.split(", "), f"a sum by ({labels}) mixes meshes")


if __name__ == "__main__":
    unittest.main()
