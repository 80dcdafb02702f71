#!/bin/bash
# A client of Estafette in bash, with curl, openssl, xxd and jq.
#
#   MAIL_URL=https://mail.example  MAIL_KEY=est_…    a key with the scopes send, read and admin
#   MAIL_FROM='Chouette <news@chouette.example>'          at a domain that the key's tenant may send from
#
#   client.sh register URL        names an endpoint that is told what happens; prints its id and its secret
#   client.sh receive FILE        answers one request, which is its input and output, and appends each event to FILE
#                                 (WEBHOOK_SECRET=whsec_…). For inetd, a systemd socket with Accept=yes, or
#                                 socat TCP-LISTEN:8000,fork,reuseaddr EXEC:'client.sh receive events'
#   client.sh send FILE           sends to the recipients in FILE, a line of JSON each; prints the job
#   client.sh not-opened JOB      prints who has the mail and did not open it
#   client.sh again JOB           sends another mail to these; prints the job
set -euo pipefail
TOLERANCE_S=300 # an older request is somebody's recording

# METHOD PATH, and a body on the input. curl repeats what may be repeated (no answer, 429, 503), and heeds Retry-After;
# under one Idempotency-Key it is done once. Its exit code is not 0 where an answer broke off.
asked() {
  local key body=()
  key=$(openssl rand -hex 16)
  [ "$1" = GET ] || body=(-H 'Content-Type: application/json' --data-binary @-)
  curl -sS --fail-with-body --retry 8 --retry-connrefused -X "$1" "$MAIL_URL$2" \
    -H "Authorization: Bearer $MAIL_KEY" -H "Idempotency-Key: $key" "${body[@]}"
}

register() {
  jq -n --arg url "$1" '{url: $url, batch: 100,
      types: ["message.delivered", "message.bounced", "message.opened", "message.clicked"]}' |
    asked POST /v1/webhooks | jq -r '"\(.id) \(.secret)"'
}

send() {
  jq -s '{from: env.MAIL_FROM, subject: "Our programme, {{ name }}",
      html: ("<p>Hello {{ name }}, <a href=\"https://chouette.example/programme\">here it is</a>.</p>"
        + "<p><a href=\"{{ unsubscribe_url }}\">Leave</a></p>"), recipients: .}' "$1" |
    asked POST /v1/jobs | jq -r .id
}

not_opened() {
  asked GET "/v1/jobs/$1/messages?state=not_opened" | jq -r .email
}

again() {
  jq -n --arg job "$1" '{from: env.MAIL_FROM, subject: "Our programme once more",
      text: "Did you miss it? https://chouette.example/programme\n\nTo leave: {{ unsubscribe_url }}\n",
      recipients_from: {job: $job, state: "not_opened"}}' |
    asked POST /v1/jobs | jq -r .id
}

reply() {
  printf 'HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n' "$1"
}

# After Standard Webhooks 1.0. The body is in a file: signed is every byte of it, a line end too.
is_genuine() {
  local id=$1 at=$2 given=$3 body=$4 key expected one
  [[ $at =~ ^[0-9]+$ ]] || return 1
  (( at - $(date +%s) <= TOLERANCE_S && $(date +%s) - at <= TOLERANCE_S )) || return 1
  key=$(openssl base64 -d -A <<<"${WEBHOOK_SECRET#whsec_}" | xxd -p -c 256)
  expected=$( { printf '%s.%s.' "$id" "$at"; cat "$body"; } |
    openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)
  # While a secret is changed there are two signatures.
  for one in $given; do [ "$one" = "v1,$expected" ] && return 0; done
  return 1
}

receive() {
  local file=$1 line name value id='' at='' given='' length=0 body
  body=$(mktemp)
  trap 'rm -f "$body"' EXIT
  read -r line # POST /… HTTP/1.1
  while read -r line && line=${line%$'\r'} && [ -n "$line" ]; do
    name=${line%%:*} value=${line#*: }
    case ${name,,} in
      webhook-id) id=$value ;;
      webhook-timestamp) at=$value ;;
      webhook-signature) given=$value ;;
      content-length) length=$value ;;
    esac
  done
  head -c "$length" >"$body"
  if ! is_genuine "$id" "$at" "$given" "$body"; then
    reply '401 Unauthorized'
    return
  fi
  (
    flock 9
    # It comes twice where our answer was lost.
    if ! grep -qxF -- "$id" "$file.ids" 2>/dev/null; then
      jq -c 'if .type == "events" then .data[] else . end' "$body" >>"$file"
      printf '%s\n' "$id" >>"$file.ids"
    fi
  ) 9>>"$file.lock"
  reply '204 No Content'
}

case ${1:-} in
  register | receive | send | again) "$1" "$2" ;;
  not-opened) not_opened "$2" ;;
  *) sed -n '2,/^set/{/^#/p}' "$0" >&2; exit 2 ;;
esac
