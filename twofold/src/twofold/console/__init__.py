"""The console: a way in for people who look into an application's log, through its time, and run it.

`twofold.console.site` serves it. Nothing is imported here, so that `twofold.console.access` needs no templates.
"""
