// The one call of `fetch`. A line that changes under a request (another network, a box that starts
// again) deserves a second try; only what merely reads gets one, because that does no harm twice.

const AGAIN_MS = 300;

export async function fetchTwice(address, options = {}) {
  try {
    return await fetch(address, options);
  } catch (error) {
    const isRead = (options.method || "GET") === "GET";
    if (!isRead || options.signal?.aborted) throw error;
  }
  await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  return fetch(address, options);
}
