"""A site of two pages, for tests of `twofold.http.html`."""
