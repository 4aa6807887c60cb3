{{/*
The services: their Services' ports, whom they call on internal ports, and what they keep. Everything else in the chart follows from this. The
containers listen on others (stockalert.listenPort): Services and policies name those, so that pods of two versions may have different ones.
*/}}
{{- define "stockalert.services" -}}
user: {public: 50051, http: 51051, internal: 52051, calls: [ticker], postgres: true, tls: true, api: [stockalert.user.v1.UserService]}
ticker: {public: 50052, http: 51052, internal: 52052, calls: [user, alert, fetcher], postgres: true, tls: true, api: [stockalert.ticker.v1.TickerService]}
alert: {public: 50053, http: 51053, internal: 52053, calls: [user, ticker, notifier, evaluator], postgres: true, tls: true, api: [stockalert.alert.v1.AlertService]}
notifier: {public: 50054, http: 51054, internal: 52054, calls: [user, ticker], postgres: true, tls: true, api: [stockalert.notification.v1.NotificationService, stockalert.notification.v1.DestinationService]}
fetcher: {http: 51055, internal: 52055, calls: [ticker], postgres: false, tls: true}
evaluator: {http: 51056, internal: 52056, calls: [], postgres: true, tls: true}
{{- end }}

{{/* dict kind (public, http, internal), port: where a container listens behind its Service's port. Below 32768, from where on Linux takes ports for outgoing connections. */}}
{{- define "stockalert.listenPort" -}}
{{- eq .kind "public" | ternary .port (sub .port 40000) }}
{{- end }}

{{/* Whether mails have a link that unsubscribes: "true" or nothing. The notifier's port of its pages is 13054, the edge's 13055, that of the Service 50055. */}}
{{- define "stockalert.hasPages" -}}
{{- if and .Values.edge.enabled .Values.notifier.smtp.address .Values.notifier.smtp.publicUrl }}true{{ end }}
{{- end }}

{{/* 40 characters, so that the longest suffix and a pod's own still fit. */}}
{{- define "stockalert.fullname" -}}
{{- $name := .Values.fullnameOverride }}
{{- if not $name }}
{{- $name = .Release.Name }}
{{- if not (contains "stockalert" $name) }}{{ $name = printf "%s-stockalert" $name }}{{ end }}
{{- end }}
{{- $name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* dict root, component: what selects its pods, for ever. */}}
{{- define "stockalert.selector" -}}
app.kubernetes.io/name: stockalert
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* dict root, component */}}
{{- define "stockalert.labels" -}}
{{ include "stockalert.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* dict root, image (a service's name, or tools) */}}
{{- define "stockalert.image" -}}
{{- with get .root.Values.image.digests .image }}
{{- printf "%s/%s@%s" $.root.Values.image.repository $.image . }}
{{- else }}
{{- printf "%s/%s:%s" .root.Values.image.repository .image (.root.Values.image.tag | default .root.Chart.AppVersion) }}
{{- end }}
{{- end }}

{{/* dict root, service: where the others call it. */}}
{{- define "stockalert.internalAddress" -}}
{{- $port := (get (include "stockalert.services" .root | fromYaml) .service).internal }}
{{- /* The evaluators' Service has no address of its own: its name is the pods', and the port theirs. */}}
{{- if eq .service "evaluator" }}{{ $port = include "stockalert.listenPort" (dict "kind" "internal" "port" $port) }}{{ end }}
{{- printf "%s-%s-internal:%v" (include "stockalert.fullname" .root) .service $port }}
{{- end }}

{{/* The name in each service's internal certificate by which the others know it: the one under which they dial it. */}}
{{- define "stockalert.meshNames" -}}
{{- $names := list }}
{{- range $service, $is := include "stockalert.services" . | fromYaml }}
{{- $names = append $names (printf "%s=%s-%s-internal" $service (include "stockalert.fullname" $) $service) }}
{{- end }}
{{- join "," $names }}
{{- end }}

{{/* dict root, service: the service's role in the database: its own, or the one that owns it. */}}
{{- define "stockalert.postgresRole" -}}
{{- $p := .root.Values.postgres }}
{{- if eq $p.mode "internal" }}{{ printf "stockalert_%s" .service }}{{ else }}{{ (get $p.users .service).name | default $p.user }}{{ end }}
{{- end }}
{{/* dict root, service: whether it has one of its own. */}}
{{- define "stockalert.hasPostgresRole" -}}
{{- $p := .root.Values.postgres }}
{{- if or (eq $p.mode "internal") (get $p.users .service).name }}true{{ end }}
{{- end }}
{{- define "stockalert.rolesSecret" -}}
{{- include "stockalert.fullname" . }}-postgres-roles
{{- end }}
{{- define "stockalert.callersSecret" -}}
{{- include "stockalert.fullname" . }}-callers
{{- end }}

{{/* Who has a certificate for the chart's own Kafka, as stockalert-migrate knows them. */}}
{{- define "stockalert.kafkaPrincipals" -}}
user,ticker,alert,notifier,fetcher,evaluator,migrate,audit
{{- end }}
{{/* dict root, key */}}
{{- define "stockalert.kafkaTlsSecret" -}}
{{- printf "%s-kafka-%s-tls" (include "stockalert.fullname" .root) .key }}
{{- end }}

{{/* dict root, service: where clients call it. */}}
{{- define "stockalert.publicAddress" -}}
{{- printf "%s-%s:%v" (include "stockalert.fullname" .root) .service (get (include "stockalert.services" .root | fromYaml) .service).public }}
{{- end }}

{{/* Secrets: given by name, or generated. */}}
{{- define "stockalert.meshTokenSecret" -}}
{{- .Values.secrets.meshToken.name | default (printf "%s-mesh-token" (include "stockalert.fullname" .)) }}
{{- end }}
{{- define "stockalert.adminKeySecret" -}}
{{- .Values.secrets.adminKey.name | default (printf "%s-admin-key" (include "stockalert.fullname" .)) }}
{{- end }}
{{- define "stockalert.deliveryKeysSecret" -}}
{{- .Values.secrets.deliveryKeys.name | default (printf "%s-delivery-keys" (include "stockalert.fullname" .)) }}
{{- end }}
{{- define "stockalert.postgresSecret" -}}
{{- if eq .Values.postgres.mode "external" }}{{ .Values.postgres.external.passwordSecret.name }}{{ else }}{{ include "stockalert.fullname" . }}-postgres{{ end }}
{{- end }}
{{- define "stockalert.postgresSecretKey" -}}
{{- if eq .Values.postgres.mode "external" }}{{ .Values.postgres.external.passwordSecret.key }}{{ else }}password{{ end }}
{{- end }}
{{- define "stockalert.publicTlsSecret" -}}
{{- if eq .Values.tls.mode "secret" }}{{ .Values.tls.public.secretName }}{{ else }}{{ include "stockalert.fullname" . }}-public-tls{{ end }}
{{- end }}
{{/* dict root, service */}}
{{- define "stockalert.internalTlsSecret" -}}
{{- if eq .root.Values.tls.mode "secret" }}
{{- get .root.Values.tls.internal.secretNames .service }}
{{- else }}
{{- printf "%s-%s-internal-tls" (include "stockalert.fullname" .root) .service }}
{{- end }}
{{- end }}

{{/* dict root, name (of a Service): every name by which it can be called in the cluster, as a YAML list. */}}
{{- define "stockalert.dnsNames" -}}
- {{ .name }}
- {{ .name }}.{{ .root.Release.Namespace }}
- {{ .name }}.{{ .root.Release.Namespace }}.svc
- {{ .name }}.{{ .root.Release.Namespace }}.svc.cluster.local
{{- end }}

{{/* The public certificate's names, as a YAML list. */}}
{{- define "stockalert.publicDnsNames" -}}
{{- range $service, $is := include "stockalert.services" . | fromYaml }}
{{- if $is.public }}
{{ include "stockalert.dnsNames" (dict "root" $ "name" (printf "%s-%s" (include "stockalert.fullname" $) $service)) }}
{{- end }}
{{- end }}
{{- range .Values.tls.public.dnsNames }}
- {{ . | quote }}
{{- end }}
{{- end }}
