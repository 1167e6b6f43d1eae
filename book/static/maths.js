// Renders the maths that Sphinx left as \(…\) and \[…\]. The page that has none loads no KaTeX.
if (window.katex && window.renderMathInElement) {
  window.renderMathInElement(document.body, {
    delimiters: [
      { left: "\\(", right: "\\)", display: false },
      { left: "\\[", right: "\\]", display: true },
    ],
    throwOnError: false,
  });
}
