"""Pages for people: what this is (`/`), its documents (`/docs`), and the console (`/console`), where somebody signs in
with a key and sees their jobs.

Reads: nothing but the instance's own API, as any client does (`pages.api_url`), with the key of whoever looks. So there
is no second way to the data, and every right is checked where the API checks it.

Writes: no stream. Owns: the sessions of the console, in Redis.

Promises:

- A key is in no cookie, no page and no log. What is kept of it is sealed under what the cookie alone holds, together
  with the master secret: neither Redis nor a cookie opens it by itself.
- A session ends when its key is revoked, when its hours are over, and when somebody signs out.
- Another tenant's is not found, as by the API.
- A form does something only if it came from a page that this session was shown.
- Pages run no script, and load nothing but their own style.
"""
