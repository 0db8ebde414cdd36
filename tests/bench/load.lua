-- Requests for wrk: one a line in the file that ARGS name, "METHOD PATH TOKEN BODY KEY" separated by tabs, each thread
-- from another place in it. Prints one line of figures: requests, errors, seconds, p50 and p99 in microseconds.
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  local lines, count = {}, tonumber(args[2])
  for line in io.lines(args[1]) do lines[#lines + 1] = line end
  requests, at, step = {}, number, count
  for i, line in ipairs(lines) do
    local method, path, token, body, key = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t(.*)$")
    local headers = {}
    if token ~= "" then headers["Authorization"] = "Bearer " .. token end
    if key ~= "" then headers["Idempotency-Key"] = key end
    if body ~= "" then headers["Content-Type"] = "application/json" else body = nil end
    requests[i] = wrk.format(method, path, headers, body)
  end
end

function request()
  local chosen = requests[at % #requests + 1]
  at = at + step
  return chosen
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("figures %d %d %f %d %d\n", summary.requests,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    summary.duration / 1000000, latency:percentile(50), latency:percentile(99)))
end
