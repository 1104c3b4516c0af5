import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import type { Allowed } from '../verdict.ts'

export type NodeResponse = ServerResponse | Http2ServerResponse

/** Lets the verdict go when node is done with the response: finished or broken off, either way nobody waits for its signal any more. */
export function releaseAtClose(response: NodeResponse, verdict: Allowed): void {
  const { destroyed } = 'stream' in response ? response.stream : response
  // Whoever left while a key was fetched has closed it already.
  if (destroyed) verdict.release()
  else (response as ServerResponse).once('close', () => verdict.release())
}

/** The same for handlers from `Request` to `Response`: at the end of the answer's body, when the client has gone, and when there is no answer. */
export async function releaseAtEnd<Answer extends Response | undefined>(request: Request, verdict: Allowed, handle: () => Answer | Promise<Answer>) {
  const { signal, method, headers } = request
  const release = () => verdict.release()
  if (signal.aborted) release()
  else signal.addEventListener('abort', release)
  try {
    const response = await handle()
    // Nobody reads the body of an answer to HEAD.
    if (response?.body && method !== 'HEAD') return new Response(watched(response.body, release), response)
    // A socket lasts longer than the answer that opened it.
    if (!headers.has('upgrade')) release()
    return response
  } catch (error) {
    release()
    throw error
  } finally {
    signal.removeEventListener('abort', release)
  }
}

function watched(body: ReadableStream<Uint8Array>, ended: () => void): ReadableStream<Uint8Array> {
  const reader = body.getReader()
  reader.closed.then(ended, ended)
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await reader.read()
        if (done) controller.close()
        else controller.enqueue(value)
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  )
}
