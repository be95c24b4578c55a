-- What wrk found, as one line of JSON: exact figures, where its own report rounds them.

function done(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  print(string.format('{"requests": %d, "failed": %d, "seconds": %f, "p99": %f}',
    summary.requests, failed, summary.duration / 1e6, latency:percentile(99) / 1e3))
end
