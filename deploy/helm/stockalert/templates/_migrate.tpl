{{/* The migrations' settings; what the version before called wait_s is not overruled by the new name's default. */}}
{{- define "stockalert.migrationSettings" -}}
{{- $settings := .Values.migrations.settings }}
{{- hasKey $settings "wait_s" | ternary (omit $settings "start_timeout_s") $settings | toYaml }}
{{- end }}

{{/* dict root, files, hook (whether it runs before an upgrade). It brings its own environment: before an upgrade the ConfigMaps are still the old ones. */}}
{{- define "stockalert.migrateSpec" -}}
{{- $scope := dict "root" .root "component" "migrate" "account" (.hook | ternary "migrate-upgrade" "migrate") -}}
backoffLimit: 6
activeDeadlineSeconds: {{ .root.Values.migrations.deadlineSeconds | int }}
template:
  metadata:
    labels:
      {{- include "stockalert.selector" $scope | nindent 6 }}
      {{- if .hook }}
      {{- include "stockalert.hookLabel" . | nindent 6 }}
      {{- end }}
  spec:
    {{- include "stockalert.podStart" $scope | nindent 4 }}
    restartPolicy: OnFailure
    securityContext:
      {{- include "stockalert.podSecurity" (dict "uid" 10001) | nindent 6 }}
    {{- include "stockalert.sidecars" .root | nindent 4 }}
    containers:
      - name: migrate
        image: {{ include "stockalert.image" (dict "root" .root "image" "tools") }}
        imagePullPolicy: {{ .root.Values.image.pullPolicy }}
        securityContext:
          {{- include "stockalert.containerSecurity" . | nindent 10 }}
        command: [stockalert-migrate]
        env:
          {{- range $name, $value := include "stockalert.storeEnv" (dict "root" .root "postgres" true "direct" true "settings" (include "stockalert.migrationSettings" .root | fromYaml) "hook" .hook) | fromYaml }}
          - {name: {{ $name }}, value: {{ $value | quote }}}
          {{- end }}
          {{- include "stockalert.secretEnv" (dict "root" .root "postgres" true) | nindent 10 }}
          {{- range $name, $value := include "stockalert.rolesEnv" .root | fromYaml }}
          - {name: {{ $name }}, value: {{ $value | quote }}}
          {{- end }}
          {{- if and (eq .root.Values.kafka.mode "internal") (not (include "stockalert.kafkaPlaintext" .)) }}
          - {name: STOCKALERT_KAFKA_ACLS, value: required}
          {{- end }}
        resources:
          {{- toYaml .root.Values.migrations.resources | nindent 10 }}
        volumeMounts:
          {{- include "stockalert.mounts" .files | nindent 10 }}
    volumes:
      {{- include "stockalert.volumes" .files | nindent 6 }}
{{- end }}

{{/* By it the network policy of the upgrade's hook knows the hook's pod. The component stays: by that the policies of the release before let it to the stores. */}}
{{- define "stockalert.hookLabel" -}}
stockalert/hook: upgrade
{{- end }}

{{/* What migrations are told of the database's roles, as a YAML map. */}}
{{- define "stockalert.rolesEnv" -}}
{{- if eq .Values.postgres.mode "internal" }}
STOCKALERT_POSTGRES_ROLES: required
STOCKALERT_POSTGRES_ROLE_PASSWORDS_DIR: /etc/stockalert/postgres-roles
STOCKALERT_POSTGRES_OWN_CLUSTER: "true"
{{- else }}
{{- $names := list }}
{{- range $key, $role := .Values.postgres.users }}
{{- if $role.name }}{{ $names = append $names (printf "%s=%s" $key $role.name) }}{{ end }}
{{- end }}
{{- if $names }}
STOCKALERT_POSTGRES_ROLES: required
STOCKALERT_POSTGRES_ROLE_NAMES: {{ join "," $names }}
{{- end }}
{{- end }}
{{- end }}
