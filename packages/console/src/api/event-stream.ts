export interface StreamMessage {
  id: string | undefined
  event: string
  data: unknown
}

/** Reads an event stream (HTML Living Standard, section 9.2.6) that was fetched with a token, which an `EventSource` could not send. */
export async function* readEventStream(body: ReadableStream<Uint8Array>): AsyncGenerator<StreamMessage> {
  const reader = body.pipeThrough(new TextDecoderStream() as unknown as ReadableWritablePair<string, Uint8Array>).getReader()
  let rest = ''
  let id: string | undefined
  let event = 'message'
  let data: string[] = []
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      const lines = (rest + value).split(/\r?\n/)
      rest = lines.pop() as string
      for (const line of lines) {
        if (line === '') {
          yield { id, event, data: data.length > 0 ? JSON.parse(data.join('\n')) : undefined }
          event = 'message'
          data = []
          continue
        }
        const [, name = '', text = ''] = line.match(/^([^:]*)(?:: ?(.*))?$/) ?? []
        if (name === 'id') id = text
        else if (name === 'event') event = text
        else if (name === 'data') data.push(text)
      }
    }
  } finally {
    void reader.cancel().catch(() => {})
  }
}
