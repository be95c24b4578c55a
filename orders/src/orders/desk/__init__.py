"""The order desk: pages for people who handle orders. They work without JavaScript, which only makes them quicker."""
