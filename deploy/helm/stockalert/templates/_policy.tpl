{{/* dict root, component: how a policy begins. */}}
{{- define "stockalert.policyHead" }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "stockalert.fullname" .root }}-{{ .component }}
  labels: {{- include "stockalert.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels: {{- include "stockalert.selector" . | nindent 6 }}
{{- end }}

{{/* dict root, postgres, direct (past the pooler): what every pod with stores may reach. */}}
{{- define "stockalert.policyStores" }}
{{- $policy := .root.Values.networkPolicy }}
{{- if eq .root.Values.kafka.mode "internal" }}
- to: [{{ include "stockalert.peer" (dict "root" .root "component" "kafka") }}]
  ports: [{port: 9094, protocol: TCP}{{ if .root.Values.kafka.internal.plaintext }}, {port: 9092, protocol: TCP}{{ end }}]
{{- else }}
- {{ if $policy.kafkaTo }}to: {{ toJson $policy.kafkaTo }}
  {{ end }}ports:
    {{- range splitList "," .root.Values.kafka.external.bootstrap | uniq }}
    - {port: {{ . | splitList ":" | last }}, protocol: TCP}
    {{- end }}
{{- end }}
{{- if .postgres }}
{{- if eq .root.Values.postgres.mode "internal" }}
- to: [{{ include "stockalert.peer" (dict "root" .root "component" "postgres") }}]
  ports: [{port: 5432, protocol: TCP}]
{{- else }}
- {{ if $policy.postgresTo }}to: {{ toJson $policy.postgresTo }}
  {{ end }}ports:
    {{- $to := .root.Values.postgres.external }}
    {{- if and $to.pooler.host (not .direct) }}{{ $to = $to.pooler }}{{ end }}
    - {port: {{ $to.port | int }}, protocol: TCP}
{{- end }}
{{- end }}
{{- end }}

{{/* DNS, and what the values allow besides. */}}
{{- define "stockalert.policyDns" }}
- to: [{{ toJson .Values.networkPolicy.dns }}]
  ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- with .Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* dict root, component: its pods, as a NetworkPolicyPeer. */}}
{{- define "stockalert.peer" -}}
{{- dict "podSelector" (dict "matchLabels" (include "stockalert.selector" . | fromYaml)) | toJson }}
{{- end }}

{{/* All public addresses, as a YAML list of peers: without private, link-local and cloud-internal ones, and those that lead to them (6to4, Teredo). */}}
{{- define "stockalert.policyInternet" -}}
- ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16]}
- ipBlock: {cidr: "2000::/3", except: ["2001::/32", "2002::/16"]}
{{- end }}
