// Sentences for a server that cannot be reached, and what to do: gradio stays silent, or says only that it tries again.

/**
 * @param {number} status of the answer; 0 for none
 * @param {URL} [url] that was asked; of this page by default
 * @returns {string} one sentence; "" where nothing is wrong with the connection
 */
export function troubleOf(status, url = new URL(document.baseURI)) {
  const here = new URL('.', location.href);
  if (url.host !== here.host) return `This page looks for its server at ${url.host}; the proxy in front has to send X-Forwarded-Host.`;
  if (!status || status === 502 || status === 503 || status === 504) {
    return 'This page cannot reach its server; check the connection, or wait until the server is back, and send again.';
  }
  if (status === 403) return 'The server refuses this page; the proxy in front has to send the X-Forwarded-Host that the browser uses.';
  if (status !== 404 && status !== 405) return '';
  const advice = here.pathname === '/' ? 'load the page again' : `start it with --root_path ${here.pathname.slice(0, -1)}`;
  return `The server does not answer at the address of this page (status ${status}); ${advice}.`;
}

/**
 * Watches the requests that gradio sends for messages and uploads.
 * @param {(text: string) => void} tell called with the sentence for each answer, "" for a good one
 */
export function watchGradio(tell) {
  const plainFetch = window.fetch.bind(window);
  window.fetch = async function(...request) {
    const url = new URL(request[0]?.url ?? request[0], document.baseURI);
    if (!/\/gradio_api\/(queue|run|upload)\b/.test(url.pathname)) return plainFetch(...request);
    try {
      const response = await plainFetch(...request);
      tell(troubleOf(response.status, url));
      return response;
    } catch (error) {
      if (error.name !== 'AbortError') tell(troubleOf(0, url));
      throw error;
    }
  };
}
