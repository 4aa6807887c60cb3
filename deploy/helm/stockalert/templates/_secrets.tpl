{{/* dict root, name, key, prefix: a random secret, made once. `helm template` sees no cluster and makes another one each time. */}}
{{- define "stockalert.generatedSecret" -}}
{{- $found := lookup "v1" "Secret" .root.Release.Namespace .name }}
apiVersion: v1
kind: Secret
metadata:
  name: {{ .name }}
  labels: {{- include "stockalert.labels" (dict "root" .root "component" .component) | nindent 4 }}
  annotations:
    # What was written under it outlives the release, so it does, too.
    helm.sh/resource-policy: keep
type: Opaque
data:
  {{ .key }}: {{ dig "data" .key (printf "%s%s" .prefix (randAlphaNum 43) | b64enc) $found }}
{{- end }}
