{{/* Who may come to a service, and where it may go: a NetworkPolicy without its frame. */}}

{{- define "estafette.ways" -}}
{{- $root := .root }}{{ $policy := .root.Values.networkPolicy }}{{ $redis := .root.Values.redis -}}
ingress:
  - ports: [{port: metrics}]
    from:
      {{- toYaml ($policy.fromPrometheus | default (list (dict "namespaceSelector" dict))) | nindent 6 }}
  {{- if eq (get .fact "protocol") "http" }}
  - ports: [{port: http}]
    from:
      {{- toYaml ($policy.fromIngress | default (list (dict "namespaceSelector" dict))) | nindent 6 }}
  {{- if eq .name "http" }}
  # The SMTP door hands over what it takes.
  - ports: [{port: http}]
    from:
      - podSelector:
          matchLabels:
            {{- include "estafette.selector" (dict "root" $root "component" "submission") | nindent 12 }}
  {{- end }}
  {{- else if eq (get .fact "protocol") "submission" }}
  # Programs of tenants, which show a key; from where, networkPolicy.fromSubmission says.
  - ports: [{port: submission}, {port: submissions}]
    {{- with $policy.fromSubmission }}
    from:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  {{- else if hasKey .fact "port" }}
  # Mail comes from everywhere.
  - ports: [{port: smtp}]
  {{- end }}
  {{- if and (eq .name "bounces") (int64 $root.Values.inbound.lmtpPort) }}
  # A mail server of one's own, which is believed.
  - ports: [{port: lmtp}]
    from:
      {{- toYaml ($policy.fromLmtp | default (list (dict "podSelector" dict))) | nindent 6 }}
  {{- end }}
egress:
  # Names, wherever they are resolved.
  - ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
  {{- if eq $redis.kind "trial" }}
  - ports: [{port: 6379}]
    to:
      - podSelector:
          matchLabels:
            {{- include "estafette.selector" (dict "root" $root "component" "redis") | nindent 12 }}
  {{- else }}
  # Where a cluster's nodes or Sentinels name the servers, or the URL is a secret, their ports are not known here.
  - {{ if and $redis.hosts (not $redis.urlSecret.name) (eq $redis.kind "single") -}}
    ports:
      {{- range $redis.hosts }}
      - port: {{ splitList ":" . | last }}
      {{- end }}
    {{- else -}}
    ports: [{port: 1, endPort: 65535}]
    {{- end }}
    {{- with $policy.toRedis }}
    to:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  {{- end }}
  {{- $base := or $root.Values.contacts.urlSecret.name (get ($root.Values.settings.contacts | default dict) "url") }}
  {{- if and $base (has .name (list "contacts" "http")) }}
  # The PostgreSQL of contacts.
  - ports: [{port: {{ int64 $policy.postgresqlPort }}}]
    {{- with $policy.toPostgresql }}
    to:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  {{- end }}
  {{- if has "api" .needs }}
  # The API of this installation.
  - ports: [{port: http}]
    to:
      - podSelector:
          matchLabels:
            {{- include "estafette.selector" (dict "root" $root "component" "http") | nindent 12 }}
  {{- end }}
  {{- if has "world" .needs }}
  # Mail hosts, and the web servers of their policies and reports.
  - ports:
      - port: {{ int64 (get $root.Values.settings.relay "mx_port" | default 25) }}
      - port: 443
  {{- $route := urlParse $root.Values.settings.relay.route }}
  {{- if eq (get $route "scheme") "smtp" }}
      - port: {{ splitList ":" $route.host | last }}
  {{- end }}
  {{- if $root.Values.routes.file }}
  {{- range $root.Values.routes.ports }}
      - port: {{ int64 . }}
  {{- end }}
  {{- end }}
  {{- end }}
  {{- if has "web" .needs }}
  # Other systems, at the ports that are allowed.
  {{- $hooks := $root.Values.settings.webhooks | default dict }}
  {{- $ports := get $hooks "ports" | default "443,8443" }}
  - ports:
      {{- range splitList "," $ports }}
      - port: {{ . }}
      {{- end }}
  {{- with get $hooks "networks" }}
  - to:
      {{- range splitList "," . }}
      - ipBlock: {cidr: {{ trim . }}}
      {{- end }}
  {{- end }}
  {{- end }}
  {{- if has "sftp" .needs }}
  # SFTP servers of tenants, at the ports that are allowed.
  {{- $drops := $root.Values.settings.drops | default dict }}
  {{- $ports := get $drops "ports" | default "22" }}
  - ports:
      {{- range splitList "," $ports }}
      - port: {{ . }}
      {{- end }}
  {{- with get $drops "networks" }}
  - to:
      {{- range splitList "," . }}
      - ipBlock: {cidr: {{ trim . }}}
      {{- end }}
  {{- end }}
  {{- end }}
  {{- $archived := get ($root.Values.settings.archive | default dict) "target" | default "" }}
  {{- if or (eq .name "archive") (and (has .name (list "http" "drops")) (hasPrefix "s3://" $archived)) }}
  # The store that the archive is in.
  - ports:
      - port: 443
  {{- $endpoint := get ($root.Values.settings.archive | default dict) "s3_endpoint" | default "" | urlParse }}
  {{- if contains ":" $endpoint.host }}
      - port: {{ splitList ":" $endpoint.host | last }}
  {{- end }}
  {{- end }}
  {{- if eq $root.Values.settings.relay.route "mailbox" }}
  # The relay to the mailbox, and what it bounces.
  - ports: [{port: smtp}]
    to:
      - podSelector:
          matchLabels:
            {{- include "estafette.selector" (dict "root" $root) | nindent 12 }}
  {{- end }}
{{- end }}
