{{/* dict root, component, files. It brings its own environment: before an upgrade the ConfigMaps are still the old ones. */}}
{{- define "stockalert.migrateSpec" -}}
backoffLimit: 6
activeDeadlineSeconds: {{ .root.Values.migrations.deadlineSeconds | int }}
template:
  metadata:
    labels:
      {{- include "stockalert.selector" . | nindent 6 }}
  spec:
    {{- include "stockalert.podStart" . | nindent 4 }}
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
          {{- range $name, $value := include "stockalert.storeEnv" (dict "root" .root "postgres" true "direct" true "settings" .root.Values.migrations.settings) | fromYaml }}
          - {name: {{ $name }}, value: {{ $value | quote }}}
          {{- end }}
          {{- include "stockalert.secretEnv" (dict "root" .root "postgres" true) | nindent 10 }}
        resources:
          {{- toYaml .root.Values.migrations.resources | nindent 10 }}
        volumeMounts:
          {{- include "stockalert.mounts" .files | nindent 10 }}
    volumes:
      {{- include "stockalert.volumes" .files | nindent 6 }}
{{- end }}
