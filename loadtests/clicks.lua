-- What wrk asks: each line of a file once, as a browser would; without arguments one path, as fast as may be.
--
-- Arguments: the file of paths; the mean pause before a request in ms (0: none); a file that is told the number of each
-- redirect that was answered (the `n` of its destination), or nothing.

local tail = " HTTP/1.1\r\nHost: links.exemple.fr\r\n"
  .. "User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n"
  .. "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Language: fr-FR,fr;q=0.9\r\n"
  .. "Accept-Encoding: gzip, deflate, br\r\n\r\n"

function init(args)
  if not args[1] then return end
  local paths, asked = {}, 0
  for line in io.lines(args[1]) do paths[#paths + 1] = line end

  function request()
    asked = asked + 1
    -- Beyond the last one it is no link, which counts as refused.
    return "GET " .. (paths[asked] or "/c/no-more") .. tail
  end

  local pause_ms = tonumber(args[2])
  if pause_ms > 0 then
    function delay() return math.random(0, 2 * pause_ms) end
  end

  if args[3] then
    local told = io.open(args[3], "a")
    told:setvbuf("line")
    function response(status, headers)
      if status == 302 then told:write(headers["Location"]:match("n=(%d+)"), "\n") end
    end
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "duration_s": %f, "refused": %d, "broken": %d, "median_ms": %f, "p99_ms": %f, "most_ms": %f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000))
end
