export interface StreamMessage {
  /** The last one that was named, by this message or one before. */
  id: string | undefined
  event: string
  data: string
}

/** A line of an event stream; an event of ours is far smaller. */
const MAX_LINE = 1_048_576

/**
 * Reads an event stream (HTML Living Standard, section 9.2.6): comments only say that it lives, a block without data only moves the id.
 * @param onId told of each id, with data or without
 */
export async function* readEventStream(body: AsyncIterable<Uint8Array>, onId: (id: string) => void): AsyncGenerator<StreamMessage> {
  const decoder = new TextDecoder()
  let rest = ''
  let id: string | undefined
  let event = 'message'
  let data: string[] = []
  for await (const bytes of body) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split(/\r?\n/)
    rest = lines.pop() as string
    if (rest.length > MAX_LINE) throw new RangeError('a line of the event stream is too long')
    for (const line of lines) {
      if (line === '') {
        if (id !== undefined) onId(id)
        if (data.length > 0) yield { id, event, data: data.join('\n') }
        event = 'message'
        data = []
        continue
      }
      const [, name = '', value = ''] = line.match(/^([^:]*)(?:: ?(.*))?$/) ?? []
      if (name === 'id') id = value
      else if (name === 'event') event = value
      else if (name === 'data') data.push(value)
    }
  }
}
