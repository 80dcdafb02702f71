{{/* The pod of one service: its process, what it is told, what it may. */}}

{{- define "estafette.redisUrl" -}}
{{- $redis := .Values.redis -}}
{{- if eq $redis.kind "trial" -}}
redis://{{ include "estafette.fullname" . }}-redis:6379/0
{{- else -}}
{{- ternary "rediss" "redis" $redis.tls }}{{ if ne $redis.kind "single" }}+{{ $redis.kind }}{{ end }}://
{{- if $redis.passwordSecret.name }}{{ $redis.username }}:$(REDIS_PASSWORD)@{{ end }}
{{- join "," $redis.hosts }}
{{- if eq $redis.kind "sentinel" }}/{{ $redis.master }}{{ end }}
{{- if ne $redis.kind "cluster" }}/{{ int64 $redis.database }}{{ end }}
{{- $query := list -}}
{{- if $redis.caSecret.name }}{{ $query = append $query "ssl_ca_certs=/etc/estafette/redis/ca.crt" }}{{ end -}}
{{- if $redis.sentinelUsername }}{{ $query = append $query (printf "sentinel_user=%s" $redis.sentinelUsername) }}{{ end -}}
{{- if $redis.sentinelPasswordSecret.name }}{{ $query = append $query "sentinel_password=$(REDIS_SENTINEL_PASSWORD)" }}{{ end -}}
{{- if $query }}?{{ join "&" $query }}{{ end }}
{{- end -}}
{{- end }}

{{/* Beside what all share (the ConfigMap of settings). The password comes first: what is behind may name it. */}}
{{- define "estafette.environment" -}}
{{- $root := .root }}{{ $redis := $root.Values.redis }}
{{- if $redis.urlSecret.name }}
- name: ESTAFETTE_REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ $redis.urlSecret.name }}, key: {{ $redis.urlSecret.key }}}}
{{- else }}
{{- if $redis.passwordSecret.name }}
- name: REDIS_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ $redis.passwordSecret.name }}, key: {{ $redis.passwordSecret.key }}}}
{{- end }}
{{- if $redis.sentinelPasswordSecret.name }}
- name: REDIS_SENTINEL_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ $redis.sentinelPasswordSecret.name }}, key: {{ $redis.sentinelPasswordSecret.key }}}}
{{- end }}
- name: ESTAFETTE_REDIS_URL
  value: {{ include "estafette.redisUrl" $root | quote }}
{{- end }}
{{- with $root.Values.contacts.urlSecret }}
{{- if and .name (has $.name (list "contacts" "http")) }}
- name: ESTAFETTE_CONTACTS_URL
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}
{{- end }}
{{- end }}
- name: ESTAFETTE_DATA_DIR
  value: /var/lib/estafette
- name: ESTAFETTE_METRICS_HOST
  value: 0.0.0.0
- name: ESTAFETTE_{{ upper .name }}_METRICS_PORT
  value: {{ include "estafette.text" .fact.metricsPort | quote }}
{{- if eq (get .fact "protocol") "http" }}
- name: ESTAFETTE_HTTP_HOST
  value: 0.0.0.0
- name: ESTAFETTE_HTTP_PORT
  value: {{ include "estafette.text" .fact.port | quote }}
{{- end }}
{{- range $name, $fact := $root.Values.catalogue }}
{{- if and (eq (get $fact "protocol") "smtp") (include "estafette.isWanted" (dict "root" $root "fact" $fact)) }}
- name: ESTAFETTE_{{ upper $name }}_HOST
  value: {{ ternary "0.0.0.0" (printf "%s-%s" (include "estafette.fullname" $root) $name) (eq $name $.name) }}
- name: ESTAFETTE_{{ upper $name }}_PORT
  value: {{ ternary (include "estafette.text" $fact.port) "25" (eq $name $.name) | quote }}
{{- end }}
{{- end }}
{{- if eq .name "bounces" }}
{{- if $root.Values.tls.serverSecret }}
- name: ESTAFETTE_BOUNCES_CERTIFICATE
  value: /etc/estafette/server/tls.crt
- name: ESTAFETTE_BOUNCES_KEY
  value: /etc/estafette/server/tls.key
{{- end }}
{{- with int64 $root.Values.inbound.lmtpPort }}
- name: ESTAFETTE_BOUNCES_LMTP
  value: "0.0.0.0:{{ . }}"
{{- end }}
{{- if $root.Values.inbound.maildirClaim }}
- name: ESTAFETTE_BOUNCES_MAILDIR
  value: /var/mail/estafette
{{- end }}
{{- end }}
{{- if eq .name "submission" }}
- name: ESTAFETTE_SUBMISSION_HOST
  value: 0.0.0.0
- name: ESTAFETTE_SUBMISSION_PORT
  value: {{ include "estafette.text" .fact.port | quote }}
- name: ESTAFETTE_SUBMISSION_TLS_PORT
  value: {{ include "estafette.text" .fact.tlsPort | quote }}
- name: ESTAFETTE_SUBMISSION_API
  value: http://{{ include "estafette.fullname" $root }}-http
{{- if $root.Values.tls.submissionSecret }}
- name: ESTAFETTE_SUBMISSION_CERTIFICATE
  value: /etc/estafette/submission/tls.crt
- name: ESTAFETTE_SUBMISSION_KEY
  value: /etc/estafette/submission/tls.key
{{- end }}
{{- end }}
{{- if has "secret" .needs }}
- name: ESTAFETTE_SECRET_KEY_FILE
  value: /etc/estafette/secret/{{ $root.Values.secret.key }}
{{- with $root.Values.secret.previousKeys }}
- name: ESTAFETTE_SECRET_PREVIOUS_KEY_FILES
  value: /etc/estafette/secret/{{ join ",/etc/estafette/secret/" . }}
{{- end }}
{{- end }}
{{- if and $root.Values.networks (has .name (list "tracking" "http")) }}
- name: ESTAFETTE_TRACKING_NETWORKS_FILE
  value: /etc/estafette/files/networks.toml
{{- end }}
{{- if and $root.Values.routes.file (or (has "world" .needs) (eq .name "queueing")) }}
- name: ESTAFETTE_RELAY_ROUTES_FILE
  value: /etc/estafette/files/routes.toml
{{- end }}
{{- if has "world" .needs }}
{{- if $root.Values.shaping }}
- name: ESTAFETTE_RELAY_SHAPING_FILE
  value: /etc/estafette/files/shaping.toml
{{- end }}
{{- if $root.Values.egress }}
- name: ESTAFETTE_RELAY_EGRESS_FILE
  value: /etc/estafette/files/egress.toml
{{- end }}
{{- if $root.Values.tls.clientSecret }}
- name: ESTAFETTE_TLS_CLIENT_CERTIFICATE
  value: /etc/estafette/tls/tls.crt
- name: ESTAFETTE_TLS_CLIENT_KEY
  value: /etc/estafette/tls/tls.key
{{- end }}
{{- if $root.Values.tls.caSecret.name }}
- name: ESTAFETTE_TLS_CA_FILE
  value: /etc/estafette/authorities/ca.crt
{{- end }}
{{- end }}
{{- end }}

{{/* Whether a process reads one of the operator's files: relays theirs, queueing routes, who answers recipients theirs. */}}
{{- define "estafette.files" -}}
{{- $values := .root.Values -}}
{{- if and (has "world" .needs) (or $values.shaping $values.egress) }}true{{ end -}}
{{- if and (or (has "world" .needs) (eq .name "queueing")) $values.routes.file }}true{{ end -}}
{{- if and (has .name (list "tracking" "http")) $values.networks }}true{{ end -}}
{{- end }}

{{/* What is mounted: a name, its place, and where it comes from. Secrets are for the pod's group alone (0440). */}}
{{- define "estafette.mounts" -}}
{{- $root := .root }}{{ $values := .root.Values }}
mounts:
  - {name: data, mountPath: /var/lib/estafette}
  - {name: tmp, mountPath: /tmp}
{{- if has "secret" .needs }}
  - {name: secret, mountPath: /etc/estafette/secret, readOnly: true}
{{- end }}
{{- if $values.redis.caSecret.name }}
  - {name: redis-ca, mountPath: /etc/estafette/redis, readOnly: true}
{{- end }}
{{- if and (eq .name "bounces") $values.tls.serverSecret }}
  - {name: server, mountPath: /etc/estafette/server, readOnly: true}
{{- end }}
{{- if and (eq .name "submission") $values.tls.submissionSecret }}
  - {name: submission, mountPath: /etc/estafette/submission, readOnly: true}
{{- end }}
{{- if and (eq .name "bounces") $values.inbound.maildirClaim }}
  - {name: maildir, mountPath: /var/mail/estafette}
{{- end }}
{{- if and (has .name (list "archive" "http" "drops")) $values.archive.volumeClaim }}
  - {name: archive, mountPath: /var/lib/archive{{ if ne .name "archive" }}, readOnly: true{{ end }}}
{{- end }}
{{- if and (eq .name "drops") $values.drops.volumeClaim }}
  - {name: drops, mountPath: /var/lib/drops}
{{- end }}
{{- if include "estafette.files" . }}
  - {name: files, mountPath: /etc/estafette/files, readOnly: true}
{{- end }}
{{- if has "world" .needs }}
{{- if $values.routes.passwordsSecret }}
  - {name: routes, mountPath: /etc/estafette/routes, readOnly: true}
{{- end }}
{{- if $values.tls.clientSecret }}
  - {name: tls, mountPath: /etc/estafette/tls, readOnly: true}
{{- end }}
{{- if $values.tls.caSecret.name }}
  - {name: authorities, mountPath: /etc/estafette/authorities, readOnly: true}
{{- end }}
{{- end }}
volumes:
{{- if not .keeps }}
  - name: data
    emptyDir: {}
{{- end }}
  - name: tmp
    emptyDir: {}
{{- if has "secret" .needs }}
  - name: secret
    secret:
      secretName: {{ $values.secret.name }}
      defaultMode: 0440
      items:
        {{- range prepend $values.secret.previousKeys $values.secret.key }}
        - {key: {{ . }}, path: {{ . }}}
        {{- end }}
{{- end }}
{{- if $values.redis.caSecret.name }}
  - name: redis-ca
    secret:
      secretName: {{ $values.redis.caSecret.name }}
      items: [{key: {{ $values.redis.caSecret.key }}, path: ca.crt}]
{{- end }}
{{- if and (eq .name "bounces") $values.tls.serverSecret }}
  - name: server
    secret: {secretName: {{ $values.tls.serverSecret }}, defaultMode: 0440}
{{- end }}
{{- if and (eq .name "submission") $values.tls.submissionSecret }}
  - name: submission
    secret: {secretName: {{ $values.tls.submissionSecret }}, defaultMode: 0440}
{{- end }}
{{- if and (eq .name "bounces") $values.inbound.maildirClaim }}
  - name: maildir
    persistentVolumeClaim: {claimName: {{ $values.inbound.maildirClaim }}}
{{- end }}
{{- if and (has .name (list "archive" "http" "drops")) $values.archive.volumeClaim }}
  - name: archive
    persistentVolumeClaim: {claimName: {{ $values.archive.volumeClaim }}}
{{- end }}
{{- if and (eq .name "drops") $values.drops.volumeClaim }}
  - name: drops
    persistentVolumeClaim: {claimName: {{ $values.drops.volumeClaim }}}
{{- end }}
{{- if include "estafette.files" . }}
  - name: files
    configMap: {name: {{ include "estafette.fullname" $root }}-files}
{{- end }}
{{- if has "world" .needs }}
{{- if $values.routes.passwordsSecret }}
  - name: routes
    secret: {secretName: {{ $values.routes.passwordsSecret }}, defaultMode: 0440}
{{- end }}
{{- if $values.tls.clientSecret }}
  - name: tls
    secret: {secretName: {{ $values.tls.clientSecret }}, defaultMode: 0440}
{{- end }}
{{- if $values.tls.caSecret.name }}
  - name: authorities
    secret:
      secretName: {{ $values.tls.caSecret.name }}
      items: [{key: {{ $values.tls.caSecret.key }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- end }}

{{- define "estafette.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "estafette.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "estafette.pod" -}}
{{- $root := .root }}{{ $values := .root.Values }}{{ $one := .one }}
{{- $lifecycle := $values.settings.lifecycle }}
{{- $mounted := include "estafette.mounts" . | fromYaml -}}
metadata:
  # No versions here: where an upgrade goes service by service, the others' pods stay.
  labels:
    {{- include "estafette.selector" (dict "root" $root "component" .name) | nindent 4 }}
  annotations:
    # Another setting is another pod.
    checksum/settings: {{ include (print $root.Template.BasePath "/settings.yaml") $root | sha256sum }}
    {{- with $one.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "estafette.serviceAccount" $root }}
  automountServiceAccountToken: false
  # A Service called estafette-… would inject variables that are no settings.
  enableServiceLinks: false
  # What is waited for: new connections that still come, callers behind a proxy, what is in hand, and the closing.
  terminationGracePeriodSeconds: {{ add (int64 $one.preStopSeconds) (int64 (get $lifecycle "grace_seconds")) (int64 $lifecycle.drain_seconds) 15 }}
  securityContext:
    {{- include "estafette.podSecurity" 10001 | nindent 4 }}
  {{- with $values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ .name }}
      image: {{ include "estafette.image" . | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: [serve, {{ .name }}]
      envFrom:
        - configMapRef: {name: {{ include "estafette.fullname" $root }}-settings}
        {{- if and (has .name (list "archive" "http" "drops")) $values.archive.credentialsSecret }}
        - secretRef: {name: {{ $values.archive.credentialsSecret }}}
        {{- end }}
      env:
        {{- include "estafette.environment" . | trim | nindent 8 }}
      ports:
        - {name: metrics, containerPort: {{ int64 .fact.metricsPort }}}
        {{- if .fact.port }}
        - {name: {{ .fact.protocol }}, containerPort: {{ int64 .fact.port }}}
        {{- end }}
        {{- if .fact.tlsPort }}
        - {name: submissions, containerPort: {{ int64 .fact.tlsPort }}}
        {{- end }}
        {{- if and (eq .name "bounces") (int64 $values.inbound.lmtpPort) }}
        - {name: lmtp, containerPort: {{ int64 $values.inbound.lmtpPort }}}
        {{- end }}
      # /healthz: the loop turns, and a relay renews its leases. Within a minute a process is up or it never is.
      startupProbe:
        httpGet: {path: /healthz, port: metrics}
        periodSeconds: 2
        timeoutSeconds: 4
        failureThreshold: 30
      livenessProbe:
        httpGet: {path: /healthz, port: metrics}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      # Links are answered while Redis is away, which /readyz tells: who has a disk for that is asked whether it lives.
      readinessProbe:
        httpGet: {path: {{ ternary "/healthz" "/readyz" (has "disk" .needs) }}, port: metrics}
        periodSeconds: 3
        timeoutSeconds: 2
        failureThreshold: 2
      {{- if and .fact.port (int64 $one.preStopSeconds) }}
      lifecycle:
        preStop:
          exec: {command: [sleep, {{ int64 $one.preStopSeconds | quote }}]}
      {{- end }}
      resources:
        {{- toYaml $one.resources | nindent 8 }}
      securityContext:
        {{- include "estafette.containerSecurity" . | nindent 8 }}
      volumeMounts:
        {{- toYaml $mounted.mounts | nindent 8 }}
  volumes:
    {{- toYaml $mounted.volumes | nindent 4 }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "estafette.selector" (dict "root" $root "component" .name) | nindent 10 }}
  {{- with $one.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $one.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $one.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $one.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
