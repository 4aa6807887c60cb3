{{/* A number as it was written: Helm makes floats of all, and shows the large ones with an exponent. */}}
{{- define "stockalert.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ . | int64 }}{{ else }}{{ . | toString }}{{ end }}
{{- end }}

{{/* dict root, direct (past the pooler), service (none: as the owner): the database's URL, without a password. */}}
{{- define "stockalert.postgresUrl" -}}
{{- $p := .root.Values.postgres }}
{{- $user := $p.user }}
{{- if .service }}{{ $user = include "stockalert.postgresRole" . }}{{ end }}
{{- if eq $p.mode "internal" }}
{{- printf "postgresql://%s@%s-postgres:5432/%s?sslmode=disable" $user (include "stockalert.fullname" .root) $p.database }}
{{- else }}
{{- $to := $p.external }}
{{- if and $p.external.pooler.host (not .direct) }}{{ $to = $p.external.pooler }}{{ end }}
{{- $options := list (printf "sslmode=%s" $p.external.tls.mode) }}
{{- if $p.external.tls.caSecret.name }}{{ $options = append $options "sslrootcert=/etc/stockalert/postgres-ca/ca.crt" }}{{ end }}
{{- if $p.external.tls.clientCertSecret }}
{{- $options = concat $options (list "sslcert=/etc/stockalert/postgres-client/tls.crt" "sslkey=/etc/stockalert/postgres-client/tls.key") }}
{{- end }}
{{- printf "postgresql://%s@%s:%s/%s?%s" $user $to.host (include "stockalert.text" $to.port) $p.database (join "&" $options) }}
{{- end }}
{{- end }}

{{/* dict root, hook: before an upgrade the chart's own Kafka is the old release's, which may not know certificates yet. */}}
{{- define "stockalert.kafkaPlaintext" -}}
{{- if eq .root.Values.kafka.mode "internal" }}{{ if and .hook .root.Values.kafka.internal.plaintext }}true{{ end }}{{ else if not .root.Values.kafka.external.tls.enabled }}true{{ end }}
{{- end }}
{{- define "stockalert.kafkaBootstrap" -}}
{{- if eq .root.Values.kafka.mode "external" }}{{ .root.Values.kafka.external.bootstrap }}{{ else }}{{ include "stockalert.fullname" .root }}-kafka:{{ empty (include "stockalert.kafkaPlaintext" .) | ternary 9094 9092 }}{{ end }}
{{- end }}

{{/* dict root, postgres, direct, settings, service (none: migrations), hook: what services and migrations have in common, as a YAML map of STOCKALERT_… names. */}}
{{- define "stockalert.storeEnv" -}}
STOCKALERT_KAFKA_BOOTSTRAP: {{ include "stockalert.kafkaBootstrap" . | quote }}
{{- if include "stockalert.kafkaPlaintext" . }}
STOCKALERT_KAFKA_PLAINTEXT: "true"
{{- else if eq .root.Values.kafka.mode "internal" }}
STOCKALERT_KAFKA_TLS: "true"
STOCKALERT_KAFKA_TLS_CA_FILE: /etc/stockalert/kafka/ca.crt
STOCKALERT_KAFKA_TLS_CERT_FILE: /etc/stockalert/kafka/tls.crt
STOCKALERT_KAFKA_TLS_KEY_FILE: /etc/stockalert/kafka/tls.key
{{- end }}
{{- if eq .root.Values.kafka.mode "external" }}
{{- with .root.Values.kafka.external.tls }}
{{- if .enabled }}
STOCKALERT_KAFKA_TLS: "true"
{{- if .caSecret.name }}
STOCKALERT_KAFKA_TLS_CA_FILE: /etc/stockalert/kafka-ca/ca.crt
{{- end }}
{{- if .clientCertSecret }}
STOCKALERT_KAFKA_TLS_CERT_FILE: /etc/stockalert/kafka-client/tls.crt
STOCKALERT_KAFKA_TLS_KEY_FILE: /etc/stockalert/kafka-client/tls.key
{{- end }}
{{- end }}
{{- end }}
{{- with .root.Values.kafka.external.sasl }}
{{- if .mechanism }}
STOCKALERT_KAFKA_SASL_MECHANISM: {{ .mechanism }}
STOCKALERT_KAFKA_SASL_USERNAME: {{ .username | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- if .postgres }}
STOCKALERT_POSTGRES_URL: {{ include "stockalert.postgresUrl" . | quote }}
{{- end }}
{{- range $name, $value := .settings }}
STOCKALERT_{{ $name | upper }}: {{ include "stockalert.text" $value | quote }}
{{- end }}
{{- end }}

{{/* dict root, postgres, service (none: migrations): variables with secrets. */}}
{{- define "stockalert.secretEnv" -}}
{{- if .postgres }}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef:
      {{- if and .service (include "stockalert.hasPostgresRole" .) }}
      {{- if eq .root.Values.postgres.mode "internal" }}
      name: {{ include "stockalert.rolesSecret" .root }}
      key: {{ .service }}
      {{- else }}
      {{- with (get .root.Values.postgres.users .service).passwordSecret }}
      name: {{ .name }}
      key: {{ .key }}
      {{- end }}
      {{- end }}
      {{- else }}
      name: {{ include "stockalert.postgresSecret" .root }}
      key: {{ include "stockalert.postgresSecretKey" .root }}
      {{- end }}
{{- end }}
{{- if eq .root.Values.kafka.mode "external" }}
{{- with .root.Values.kafka.external.sasl }}
{{- if .mechanism }}
- name: STOCKALERT_KAFKA_SASL_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .passwordSecret.name }}
      key: {{ .passwordSecret.key }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* dict root, postgres, service (none: migrations), hook: certificates of the stores, as a YAML list of dict name, secret, items. */}}
{{- define "stockalert.storeFiles" -}}
{{- if and (eq .root.Values.kafka.mode "internal") (not (include "stockalert.kafkaPlaintext" .)) }}
- {name: kafka, secret: {{ include "stockalert.kafkaTlsSecret" (dict "root" .root "key" (.service | default "migrate")) }}, items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}, {key: ca.crt, path: ca.crt}]}
{{- end }}
{{- if eq .root.Values.kafka.mode "external" }}
{{- with .root.Values.kafka.external.tls }}
{{- if .enabled }}
{{- if .caSecret.name }}
- {name: kafka-ca, secret: {{ .caSecret.name }}, items: [{key: {{ .caSecret.key }}, path: ca.crt}]}
{{- end }}
{{- if .clientCertSecret }}
- {name: kafka-client, secret: {{ .clientCertSecret }}, items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .postgres (eq .root.Values.postgres.mode "external") }}
{{- with .root.Values.postgres.external.tls }}
{{- if .caSecret.name }}
- {name: postgres-ca, secret: {{ .caSecret.name }}, items: [{key: {{ .caSecret.key }}, path: ca.crt}]}
{{- end }}
{{- if .clientCertSecret }}
- {name: postgres-client, secret: {{ .clientCertSecret }}, items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether services show each other the token that all share: beside certificates, and, without TLS, as long as the version before may be there. */}}
{{- define "stockalert.takesMeshToken" -}}
{{- if or (ne .Values.tls.mode "plaintext") .Values.secrets.meshToken.takenWithoutTls }}true{{ end }}
{{- end }}

{{/* dict root, service: the files of a service's own, as above. */}}
{{- define "stockalert.serviceFiles" -}}
{{- $is := get (include "stockalert.services" .root | fromYaml) .service }}
{{- if $is.tls }}
{{- if include "stockalert.takesMeshToken" .root }}
- {name: mesh-token, secret: {{ include "stockalert.meshTokenSecret" .root }}, items: [{key: {{ .root.Values.secrets.meshToken.key }}, path: mesh_token}]}
{{- end }}
{{- if eq .root.Values.tls.mode "plaintext" }}
- {name: callers, secret: {{ include "stockalert.callersSecret" .root }}, items: [{key: {{ .service }}, path: caller_token}, {key: mesh_callers, path: mesh_callers}]}
{{- end }}
{{- if ne .root.Values.tls.mode "plaintext" }}
{{- if and $is.public (not .root.Values.edge.enabled) }}
- {name: public-tls, secret: {{ include "stockalert.publicTlsSecret" .root }}, items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]}
{{- end }}
- {name: internal-tls, secret: {{ include "stockalert.internalTlsSecret" . }}, items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}, {key: ca.crt, path: ca.crt}]}
{{- end }}
{{- end }}
{{- if eq .service "user" }}
- {name: admin-key, secret: {{ include "stockalert.adminKeySecret" .root }}, items: [{key: {{ .root.Values.secrets.adminKey.key }}, path: admin_key}]}
{{- end }}
{{- if and (eq .service "notifier") .root.Values.delivery.enabled }}
- {name: delivery-keys, secret: {{ include "stockalert.deliveryKeysSecret" .root }}, items: [{key: {{ .root.Values.secrets.deliveryKeys.key }}, path: delivery_keys}]}
{{- with .root.Values.delivery.caSecret }}
{{- if .name }}
- {name: egress-ca, secret: {{ .name }}, items: [{key: {{ .key }}, path: ca.crt}]}
{{- end }}
{{- end }}
{{- end }}
{{- if eq .service "notifier" }}
{{- with .root.Values.notifier.smtp }}
{{- if and .address .user }}
- {name: smtp, secret: {{ .passwordSecret.name }}, items: [{key: {{ .passwordSecret.key }}, path: password}]}
{{- end }}
{{- if and .address .caSecret.name }}
- {name: smtp-ca, secret: {{ .caSecret.name }}, items: [{key: {{ .caSecret.key }}, path: ca.crt}]}
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq .service "fetcher") (eq .root.Values.fetcher.source "finnhub") }}
{{- with .root.Values.fetcher.finnhub.apiKeySecret }}
- {name: finnhub, secret: {{ .name }}, items: [{key: {{ .key }}, path: api_key}]}
{{- end }}
{{- end }}
{{ include "stockalert.storeFiles" (dict "root" .root "postgres" $is.postgres "service" .service) }}
{{- end }}

{{/* The list of files, as volumes and as mounts. Whole folders, never single files: a swapped Secret must reach the pod. */}}
{{- define "stockalert.volumes" -}}
{{- range . }}
- name: {{ .name }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items: {{ toJson .items }}
{{- end }}
{{- end }}
{{- define "stockalert.mounts" -}}
{{- range . }}
- {name: {{ .name }}, mountPath: /etc/stockalert/{{ .name }}, readOnly: true}
{{- end }}
{{- end }}

{{/* The restricted level of the Pod Security Standards, and no more. dict uid */}}
{{- define "stockalert.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .uid }}
runAsGroup: {{ .uid }}
fsGroup: {{ .uid }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}
{{- define "stockalert.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* dict root, component (empty: no ServiceAccount of its own), account (another one than the component's), values (a service's): what every pod begins with. */}}
{{- define "stockalert.podStart" -}}
{{- $own := .values | default dict }}
{{- with .account | default .component }}
serviceAccountName: {{ include "stockalert.fullname" $.root }}-{{ . }}
{{- end }}
automountServiceAccountToken: false
# Variables for each Service would look like flags: STOCKALERT_USER_PORT.
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $own.nodeSelector | default .root.Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with $own.tolerations | default .root.Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- end }}
{{- define "stockalert.sidecars" -}}
{{- with .Values.sidecars }}
initContainers:
  {{- range . }}
  - {{ merge (dict "restartPolicy" "Always") . | toYaml | nindent 4 | trim }}
  {{- end }}
{{- end }}
{{- end }}

{{/* dict root, service: a service's environment, the same in all its pods. */}}
{{- define "stockalert.serviceEnv" -}}
{{- $root := .root }}
{{- $is := get (include "stockalert.services" $root | fromYaml) .service }}
{{- $values := get $root.Values .service }}
{{- range $kind := list "public" "http" "internal" }}
{{- if get $is $kind }}
STOCKALERT_{{ $kind | upper }}_ADDRESS: "{{ $root.Values.listenHost }}:{{ include "stockalert.listenPort" (dict "kind" $kind "port" (get $is $kind)) }}"
{{- end }}
{{- end }}
{{- range $is.calls }}
STOCKALERT_{{ . | upper }}_ADDRESS: {{ include "stockalert.internalAddress" (dict "root" $root "service" .) }}
{{- end }}
{{- if and $is.public $root.Values.edge.enabled }}
STOCKALERT_TRUSTED_PROXIES: {{ join "," $root.Values.edge.podNetworks | quote }}
{{- end }}
STOCKALERT_LOG_LEVEL: {{ $root.Values.logLevel }}
STOCKALERT_SHUTDOWN_GRACE_S: {{ $root.Values.shutdownGraceSeconds | int | quote }}
{{- if $is.tls }}
STOCKALERT_MESH_NAMES: {{ include "stockalert.meshNames" $root }}
{{- if eq $root.Values.tls.mode "plaintext" }}
STOCKALERT_PLAINTEXT: "true"
{{- else }}
{{- if and $is.public $root.Values.edge.enabled }}
# Clients see the edge's; the edge knows the services by the mesh's authority.
STOCKALERT_PUBLIC_TLS_CERT_FILE: /etc/stockalert/internal-tls/tls.crt
STOCKALERT_PUBLIC_TLS_KEY_FILE: /etc/stockalert/internal-tls/tls.key
{{- else if $is.public }}
STOCKALERT_PUBLIC_TLS_CERT_FILE: /etc/stockalert/public-tls/tls.crt
STOCKALERT_PUBLIC_TLS_KEY_FILE: /etc/stockalert/public-tls/tls.key
{{- end }}
STOCKALERT_INTERNAL_TLS_CERT_FILE: /etc/stockalert/internal-tls/tls.crt
STOCKALERT_INTERNAL_TLS_KEY_FILE: /etc/stockalert/internal-tls/tls.key
STOCKALERT_INTERNAL_TLS_CA_FILE: /etc/stockalert/internal-tls/ca.crt
{{- end }}
{{- end }}
{{- if eq .service "fetcher" }}
STOCKALERT_SOURCE: {{ $values.source }}
{{- if eq $values.source "replay" }}
STOCKALERT_FILE: {{ empty $values.replay.configMap | ternary $values.replay.file (printf "/etc/stockalert/replay/%s" $values.replay.file) | quote }}
{{- end }}
{{- end }}
{{- if eq .service "notifier" }}
{{- with $values.smtp }}
{{- if .address }}
STOCKALERT_SMTP_ADDRESS: {{ .address | quote }}
STOCKALERT_SMTP_TLS: {{ .tls }}
STOCKALERT_MAIL_FROM: {{ .from | quote }}
STOCKALERT_MAIL_FROM_NAME: {{ .fromName | quote }}
{{- with .user }}
STOCKALERT_SMTP_USER: {{ . | quote }}
{{- end }}
{{- with .unsubscribe }}
STOCKALERT_MAIL_UNSUBSCRIBE: {{ . | quote }}
{{- end }}
{{- with .publicUrl }}
STOCKALERT_PUBLIC_URL: {{ . | quote }}
STOCKALERT_UNSUBSCRIBE_ADDRESS: "{{ $root.Values.listenHost }}:13054"
{{- end }}
{{- if .caSecret.name }}
STOCKALERT_SMTP_CA_FILE: /etc/stockalert/smtp-ca/ca.crt
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{ include "stockalert.storeEnv" (dict "root" $root "postgres" $is.postgres "direct" false "settings" $values.settings "service" .service) }}
{{- end }}

{{/*
dict root, service: how many pods a Deployment with an autoscaler begins with. Those that it has: without a number the upgrade that turns the
autoscaler on would leave one. Nothing where no cluster answers (`helm template`): whoever applies that again would undo the autoscaler's choice.
*/}}
{{- define "stockalert.autoscaledReplicas" -}}
{{- $namespace := .root.Release.Namespace }}
{{- $found := lookup "apps/v1" "Deployment" $namespace (printf "%s-%s" (include "stockalert.fullname" .root) .service) }}
{{- if $found }}
{{- $found.spec.replicas | int }}
{{- else if lookup "v1" "ServiceAccount" $namespace "default" }}
{{- /* Every namespace has this one: the cluster answers, and has no such Deployment. */}}
{{- (get .root.Values .service).autoscaling.minReplicas | int }}
{{- end }}
{{- end }}

{{/* dict root, service: the template of a service's pods. */}}
{{- define "stockalert.podTemplate" -}}
{{- $root := .root }}
{{- $service := .service }}
{{- $fullname := include "stockalert.fullname" $root }}
{{- $is := get (include "stockalert.services" $root | fromYaml) $service }}
{{- $values := get $root.Values $service }}
{{- $selector := include "stockalert.selector" (dict "root" $root "component" $service) }}
{{- $files := include "stockalert.serviceFiles" . | fromYamlArray }}
{{- $replayMap := and (eq $service "fetcher") (eq $root.Values.fetcher.source "replay") $root.Values.fetcher.replay.configMap }}
metadata:
  labels:
    {{- $selector | nindent 4 }}
    {{- if and $is.public $root.Values.edge.enabled }}
    {{- include "stockalert.behindLabel" $root | nindent 4 }}
    {{- end }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # A changed configuration is a changed pod.
    checksum/config: {{ include "stockalert.serviceEnv" . | sha256sum }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "stockalert.podStart" (dict "root" $root "component" $service "values" $values) | nindent 2 }}
  securityContext:
    {{- include "stockalert.podSecurity" (dict "uid" 10001) | nindent 4 }}
  # Draining, the service's own grace and what it adds to it, and a reserve.
  terminationGracePeriodSeconds: {{ add $root.Values.drainSeconds $root.Values.shutdownGraceSeconds 10 }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $values.affinity }}
  affinity: {{ toJson . }}
  {{- end }}
  {{- if ne $root.Values.topologySpread "none" }}
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - topologyKey: {{ . }}
      maxSkew: 1
      whenUnsatisfiable: {{ eq $root.Values.topologySpread "required" | ternary "DoNotSchedule" "ScheduleAnyway" }}
      labelSelector:
        matchLabels:
          {{- $selector | nindent 10 }}
      {{- if ne $service "evaluator" }}
      matchLabelKeys: [pod-template-hash]
      {{- end }}
    {{- end }}
  {{- end }}
  {{- include "stockalert.sidecars" $root | nindent 2 }}
  containers:
    - name: {{ $service }}
      image: {{ include "stockalert.image" (dict "root" $root "image" $service) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      securityContext:
        {{- include "stockalert.containerSecurity" $root | nindent 8 }}
      {{- if or $is.tls (eq $service "user") }}
      args:
        {{- if include "stockalert.takesMeshToken" $root }}
        - --mesh_token_file=/etc/stockalert/mesh-token/mesh_token
        {{- end }}
        {{- if eq $root.Values.tls.mode "plaintext" }}
        - --mesh_caller_token_file=/etc/stockalert/callers/caller_token
        {{- if $is.internal }}
        - --mesh_callers_file=/etc/stockalert/callers/mesh_callers
        {{- end }}
        {{- end }}
        {{- if eq $service "user" }}
        - --admin_key_file=/etc/stockalert/admin-key/admin_key
        {{- end }}
        {{- if and (eq $service "notifier") $root.Values.delivery.enabled }}
        - --delivery_keys_file=/etc/stockalert/delivery-keys/delivery_keys
        {{- if $root.Values.delivery.caSecret.name }}
        - --egress_ca_file=/etc/stockalert/egress-ca/ca.crt
        {{- end }}
        {{- end }}
        {{- if and (eq $service "notifier") $root.Values.notifier.smtp.address $root.Values.notifier.smtp.user }}
        - --smtp_password_file=/etc/stockalert/smtp/password
        {{- end }}
        {{- if and (eq $service "fetcher") (eq $root.Values.fetcher.source "finnhub") }}
        - --finnhub_api_key_file=/etc/stockalert/finnhub/api_key
        {{- end }}
      {{- end }}
      envFrom:
        - configMapRef: {name: {{ $fullname }}-{{ $service }}}
      env:
        {{- if eq $service "evaluator" }}
        # The member's id in the consumer group, the same after a restart.
        - name: STOCKALERT_INSTANCE_ID
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        # The pod's own name in the headless Service: where the alert service asks the one that has an alert.
        - name: STOCKALERT_ADVERTISED_ADDRESS
          value: "$(STOCKALERT_INSTANCE_ID).{{ $fullname }}-evaluator-internal.{{ $root.Release.Namespace }}.svc:{{ include "stockalert.listenPort" (dict "kind" "internal" "port" $is.internal) }}"
        {{- end }}
        {{- if or (eq $service "alert") (eq $service "notifier") }}
        # Pods of a Deployment come and go: one that ends leaves the group at once, and nobody waits for it.
        - {name: STOCKALERT_INSTANCE_ID, value: none}
        {{- end }}
        {{- include "stockalert.secretEnv" (dict "root" $root "postgres" $is.postgres "service" $service) | nindent 8 }}
      ports:
        {{- if $is.public }}
        - {name: grpc, containerPort: {{ $is.public }}}
        {{- end }}
        - {name: http, containerPort: {{ include "stockalert.listenPort" (dict "kind" "http" "port" $is.http) }}}
        {{- if $is.internal }}
        - {name: internal, containerPort: {{ include "stockalert.listenPort" (dict "kind" "internal" "port" $is.internal) }}}
        {{- end }}
        {{- if and (eq $service "notifier") (include "stockalert.hasPages" $root) }}
        - {name: unsubscribe, containerPort: 13054}
        {{- end }}
      # Alive at once, whatever it waits for; ready when it can answer.
      startupProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 1
        timeoutSeconds: 3
        failureThreshold: 60
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 2
        timeoutSeconds: 5
        failureThreshold: 2
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      {{- if and $root.Values.drainSeconds (semverCompare ">=1.30.0-0" $root.Capabilities.KubeVersion.Version) }}
      lifecycle:
        preStop: {sleep: {seconds: {{ $root.Values.drainSeconds | int }}}}
      {{- end }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      volumeMounts:
        {{- include "stockalert.mounts" $files | nindent 8 }}
        {{- if $replayMap }}
        - {name: replay, mountPath: /etc/stockalert/replay, readOnly: true}
        {{- end }}
  volumes:
    {{- include "stockalert.volumes" $files | nindent 4 }}
    {{- if $replayMap }}
    - name: replay
      configMap: {name: {{ $replayMap }}}
    {{- end }}
{{- end }}
