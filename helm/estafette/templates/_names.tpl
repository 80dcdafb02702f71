{{/* Names, labels, and what a service is when all that is said of it is put together. */}}

{{- define "estafette.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{ ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "estafette.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "estafette.labels" -}}
{{ include "estafette.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* A value as a variable has it. Numbers come as floats, and large ones would be written with an exponent. */}}
{{- define "estafette.text" -}}
{{- if or (kindIs "float64" .) (kindIs "int64" .) (kindIs "int" .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end }}

{{/* Whether a service has something to do here: the mailbox on one route alone, the archive where it has a target,
     drops where they are enabled, contacts where they have a PostgreSQL. */}}
{{- define "estafette.isWanted" -}}
{{- $with := get .fact "onlyWith" | default list -}}
{{- $isSet := or (not $with) (get (get .root.Values.settings (first $with | default "") | default dict) (last $with | default "")) -}}
{{- $isBySecret := and (eq (first $with | default "") "contacts") .root.Values.contacts.urlSecret.name -}}
{{- if and (or $isSet $isBySecret) (has (get .fact "onlyOn") (list nil "" .root.Values.settings.relay.route)) -}}yes{{- end -}}
{{- end }}

{{- define "estafette.serviceAccount" -}}
{{ default (include "estafette.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- define "estafette.image" -}}
{{- $image := .root.Values.image -}}
{{- $tag := .one.tag | default $image.tag | default .root.Chart.AppVersion -}}
{{- if and $image.digest (not .one.tag) -}}
{{ printf "%s@%s" $image.repository $image.digest }}
{{- else -}}
{{ printf "%s:%s" $image.repository $tag }}
{{- end -}}
{{- end }}

{{/* What cannot be left out, and what does not go together: said by name, before anything is made. */}}
{{- define "estafette.check" -}}
{{- $redis := .Values.redis -}}
{{- $lifecycle := .Values.settings.lifecycle -}}
{{- if not .Values.secret.name -}}
{{- fail "secret.name: name the Secret that has the master secret (docs/deployment.md)" -}}
{{- end -}}
{{- if and (ne $redis.kind "trial") (not $redis.urlSecret.name) (not $redis.hosts) -}}
{{- fail "redis.hosts: say where Redis is, or name redis.urlSecret; redis.kind trial brings a small one along" -}}
{{- end -}}
{{- if and (eq $redis.kind "single") (gt (len $redis.hosts) 1) -}}
{{- fail "redis.hosts: one for redis.kind single" -}}
{{- end -}}
{{- if and (eq $redis.kind "sentinel") (not $redis.master) -}}
{{- fail "redis.master: the name by which the Sentinels know the master" -}}
{{- end -}}
{{- if and (eq $redis.kind "cluster") (int64 $redis.database) -}}
{{- fail "redis.database: a cluster has 0 alone" -}}
{{- end -}}
{{- if and $redis.caSecret.name (not $redis.tls) (not $redis.urlSecret.name) -}}
{{- fail "redis.caSecret: it is for redis.tls, which is not set" -}}
{{- end -}}
{{- if and (ne $redis.kind "sentinel") (or $redis.sentinelUsername $redis.sentinelPasswordSecret.name) -}}
{{- fail "redis.sentinelPasswordSecret, redis.sentinelUsername: they are for redis.kind sentinel" -}}
{{- end -}}
{{- if and (eq $redis.kind "trial") (or $redis.hosts $redis.tls $redis.passwordSecret.name $redis.urlSecret.name) -}}
{{- fail "redis.kind: trial brings its own Redis along: leave out hosts, tls, passwordSecret and urlSecret, or take another kind" -}}
{{- end -}}
{{- if and .Values.contacts.urlSecret.name (get (.Values.settings.contacts | default dict) "url") -}}
{{- fail "contacts.urlSecret: settings.contacts.url is set, too: name one of them" -}}
{{- end -}}
{{- if le (mul (int64 $lifecycle.drain_seconds) 1000) (int64 .Values.settings.relay.lease_ms) -}}
{{- fail "settings.lifecycle.drain_seconds: longer than settings.relay.lease_ms, or others take over what a relay still ends" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.api.host) (not .Values.ingress.links) -}}
{{- fail "ingress: it is enabled, and neither ingress.api.host nor ingress.links says where" -}}
{{- end -}}
{{- end }}
