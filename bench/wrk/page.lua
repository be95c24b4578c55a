-- GET of the path that wrk was given, again and again.

require "report"
