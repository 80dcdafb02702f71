/* Estafette: what people who came by a link of a mail do on this site, if they agree here. Nothing is stored and nothing
   is sent before estafette("consent", true), nor ever where the browser asks not to be tracked.

     estafette("consent", true)     they agreed: on each page, for as long as they do
     estafette("consent", false)    they took it back, or said no
     estafette("page")              another page, where a site changes its address without loading one
     estafette("event", "purchase", {id: "4711", value: 59.9, currency: "EUR", properties: {category: "shoes"}}) */
(function () {
  "use strict";
  var NAME = "estafette", MAX_S = 395 * 86400, TOKEN = /^[A-Za-z0-9_-]{40,500}$/;
  var script = document.currentScript;
  if (!script || !/^https?:$/.test(location.protocol)) return;
  var base = new URL("w/", script.src).href;
  var refuses = navigator.doNotTrack === "1" || window.doNotTrack === "1" || navigator.globalPrivacyControl === true;
  var arrived = taken();
  var token = "", seen = "";

  /* The token that the link brought, which leaves the address: who shares it shares no token. */
  function taken() {
    var url = new URL(location.href), found = url.searchParams.get(NAME), mine = "#" + NAME + "=";
    if (url.hash.indexOf(mine) === 0) {
      found = url.hash.slice(mine.length);
      url.hash = "";
    } else if (found !== null) {
      url.search = url.search.slice(1).split("&").filter(function (part) {
        return part.indexOf(NAME + "=") !== 0;
      }).join("&");
    } else {
      return "";
    }
    history.replaceState(history.state, "", url.href);
    return TOKEN.test(found) ? found : "";
  }

  /* The cookie: the token, and when they agreed (s), so that a new token does not make it last longer. */
  function stored() {
    var found = document.cookie.match(/(?:^|; )estafette=([A-Za-z0-9_-]{40,500})\.([0-9a-z]{1,8})(?:;|$)/);
    return found && { token: found[1], since: parseInt(found[2], 36) };
  }

  function store(value, seconds) {
    document.cookie = NAME + "=" + value + "; Path=/; Max-Age=" + seconds + "; SameSite=Lax; Secure";
  }

  function consent(given) {
    var had = stored(), now = Math.floor(Date.now() / 1000);
    if (refuses || given !== true) {
      var told = token || (had && had.token);
      if (had) store("", 0);
      token = arrived = "";
      if (told && !refuses) send(told, { kind: "consent", given: false });
      return;
    }
    var since = had ? had.since : now, left = MAX_S - (now - since);
    var next = arrived || token || (had ? had.token : "");
    if (!next) return;
    if (left <= 0 || left > MAX_S) {
      store("", 0);
      token = "";
      return;
    }
    if (!had || had.token !== next) store(next + "." + since.toString(36), left);
    token = next;
    arrived = "";
    if (!had) send(token, { kind: "consent", given: true });
    if (seen !== location.href) page();
  }

  function page() {
    seen = location.href;
    if (token) send(token, { kind: "page" });
  }

  function event(name, details) {
    if (!token) return;
    var told = { kind: "event", name: name }, also = details || {};
    ["id", "value", "currency", "properties"].forEach(function (field) {
      if (also[field] !== undefined) told[field] = also[field];
    });
    send(token, told);
  }

  function send(to, told) {
    told.url = location.origin + location.pathname;
    if (told.id === undefined) told.id = chance();
    var body = JSON.stringify(told);
    if (window.Request && "keepalive" in Request.prototype) {
      /* As a beacon, but without the cookies that others may have set on that host. */
      fetch(base + to, {
        method: "POST", body: body, keepalive: true, credentials: "omit", referrerPolicy: "no-referrer"
      }).catch(function () {});
    } else {
      navigator.sendBeacon(base + to, body);
    }
  }

  /* So that what a browser sends again counts once. */
  function chance() {
    return Array.prototype.map.call(crypto.getRandomValues(new Uint8Array(8)), function (byte) {
      return ("0" + byte.toString(16)).slice(-2);
    }).join("");
  }

  var commands = { consent: consent, page: page, event: event };
  function estafette(command) {
    if (!Object.prototype.hasOwnProperty.call(commands, command)) throw new Error("estafette: no " + command);
    return commands[command].apply(null, Array.prototype.slice.call(arguments, 1));
  }
  var waiting = (window.estafette && window.estafette.q) || [];
  window.estafette = estafette;
  waiting.forEach(function (one) { estafette.apply(null, one); });
})();
