{{/* What pods bear that the edge stands before: it sends calls to those alone, and those alone take none from others. */}}
{{- define "stockalert.behindLabel" -}}
stockalert/behind: edge
{{- end }}

{{/* The edge's files, as a YAML list: the clients' certificate, and whom it trusts as services. */}}
{{- define "stockalert.edgeFiles" -}}
{{- if ne .Values.tls.mode "plaintext" }}
- {name: public-tls, secret: {{ include "stockalert.publicTlsSecret" . }}, items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]}
- {name: internal-ca, secret: {{ include "stockalert.internalTlsSecret" (dict "root" . "service" "user") }}, items: [{key: ca.crt, path: ca.crt}]}
{{- else }}
[]
{{- end }}
{{- end }}

{{/* The edge's environment, as a YAML map. */}}
{{- define "stockalert.edgeEnv" -}}
{{- $root := . }}
{{- $fullname := include "stockalert.fullname" . }}
{{- $pods := 0 }}
{{- range $service, $is := include "stockalert.services" . | fromYaml }}
{{- if $is.public }}
{{- $values := get $root.Values $service }}
{{- $pods = max $pods (int $values.replicas) ($values.autoscaling.enabled | ternary (int $values.autoscaling.maxReplicas) 0) }}
EDGE_{{ upper $service }}_BACKEND: {{ $fullname }}-{{ $service }}-backend.{{ $root.Release.Namespace }}.svc.{{ $root.Values.edge.clusterDomain }}:{{ $is.public }}
EDGE_{{ upper $service }}_NAME: {{ $fullname }}-{{ $service }}-internal
{{- end }}
{{- end }}
{{- if include "stockalert.hasPages" . }}
EDGE_UNSUBSCRIBE_BACKEND: {{ $fullname }}-notifier-backend.{{ .Release.Namespace }}.svc.{{ .Values.edge.clusterDomain }}:13054
{{- end }}
# While pods are replaced there are more.
EDGE_BACKENDS_MAX: {{ add $pods 4 | quote }}
{{- if eq .Values.listenHost "[::]" }}
EDGE_LISTEN_V6: "::"
{{- end }}
{{- if ne .Values.tls.mode "plaintext" }}
EDGE_TLS_CERT_FILE: /etc/stockalert/public-tls/tls.crt
EDGE_BACKEND_CA_FILE: /etc/stockalert/internal-ca/ca.crt
{{- end }}
{{- with .Values.edge.trustedProxies }}
EDGE_TRUSTED_PROXIES: {{ join " " . | quote }}
{{- end }}
EDGE_SHUTDOWN_GRACE_S: {{ .Values.shutdownGraceSeconds | int | quote }}
{{- range $name, $value := .Values.edge.settings }}
EDGE_{{ $name | upper }}: {{ include "stockalert.text" $value | quote }}
{{- end }}
{{- end }}
