import { CaegisError } from '@caegis/protocol'
import type { Command } from 'commander'
import { createAdminCall } from '../admin-call.ts'
import { readEventStream, type StreamMessage } from '../event-stream.ts'

interface Event {
  seq: number
  type: string
  txn: string
  committedDateTime: string
  subject: Record<string, unknown>
}

/** Milliseconds between two tries, first and longest. */
const PAUSE = [1000, 10_000] as const

export function addEvents(program: Command): void {
  const events = program.command('events').description('Look at what the server tells its receivers.')
  events
    .command('tail')
    .description('Print each event as it is committed; goes on after an interruption without leaving one out.')
    .option('--json', 'print each event as a line of JSON')
    .action(({ json }: { json?: boolean }) => tail(json ? printJson : printText))
}

async function tail(print: (message: StreamMessage) => void): Promise<void> {
  const call = createAdminCall()
  let last: string | undefined
  let failures = 0
  for (;;) {
    try {
      const headers = { accept: 'text/event-stream', ...(last === undefined ? {} : { 'last-event-id': last }) }
      const response = await call('GET', '/caegis/events', { headers })
      if (failures > 0) note('Connected again.')
      failures = 0
      const began = (id: string) => {
        last = id
      }
      for await (const message of readEventStream(response.body as AsyncIterable<Uint8Array>, began)) print(message)
    } catch (error) {
      // What fails at once is a mistake or a refusal; afterwards the server may only be away.
      if (last === undefined || !isPassing(error)) throw error
      if (failures === 0) note('The connection was lost; trying again.')
      failures++
    }
    await new Promise((resolve) => setTimeout(resolve, Math.min(PAUSE[0] * 2 ** Math.max(0, failures - 1), PAUSE[1])))
  }
}

function isPassing(error: unknown): boolean {
  if (!(error instanceof CaegisError)) return true
  const { status } = (error.detail ?? {}) as { status?: number }
  return status !== undefined && (status >= 500 || status === 429)
}

function printJson({ event, data }: StreamMessage): void {
  const value = JSON.parse(data)
  process.stdout.write(`${JSON.stringify(event === 'event' ? value : { [event]: value })}\n`)
}

function printText({ event, data }: StreamMessage): void {
  if (event === 'gap') note('There is a gap: the log was replaced or cut. Look up what is missing with GET /v1.0/caegis/events.')
  if (event !== 'event') return
  const { seq, type, txn, committedDateTime, subject } = JSON.parse(data) as Event
  process.stdout.write(`${committedDateTime}  ${seq}  ${type.slice(type.lastIndexOf('/') + 1)}  ${subjectText(subject)}  txn ${txn}\n`)
}

/** `user=alice session=s1`: what each member is known by. */
function subjectText({ format, ...subject }: Record<string, unknown>): string {
  const members = format === 'complex' ? Object.entries(subject) : [['subject', subject] as const]
  return members.map(([name, value]) => `${name}=${nameOf(value)}`).join(' ')
}

function nameOf(value: unknown): string {
  const { sub, id, email, uri } = (value ?? {}) as Record<string, unknown>
  return String(sub ?? id ?? email ?? uri ?? '?').replace(/\p{C}/gu, '?')
}

function note(line: string): void {
  process.stderr.write(`${line}\n`)
}
