import type { Command } from 'commander'
import { type AdminCall, createAdminCall, listAll } from '../admin-call.ts'
import { counted, line, table, writeJson } from '../output.ts'
import type { Cell } from '../table.ts'

interface Stream {
  id: string
  appId: string
  delivery: { method: string; endpointUrl: string | null }
  guard: boolean
  status: string
  statusReason: string | null
  lag: { rows: number; seconds: number }
  live: boolean | null
  deadLetters: number
}

interface Letter {
  id: string
  seq: number
  reason: string
  attempts: number
  diedDateTime: string
}

/** `stream`: who receives what happens here, how far each is, and the administrator's say about it. */
export function addStream(program: Command): void {
  const stream = program.command('stream').description('Look at the streams of receivers, and stop or start them.')

  stream
    .command('ls')
    .alias('list')
    .description('List the streams: how far each is behind, and what was not delivered.')
    .option('--json', 'print the result as JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const all = await listAll<Stream>(createAdminCall(), '/caegis/streams')
      if (json) return writeJson({ streams: all })
      if (all.length === 0) return line('There is no stream.')
      table({ headings: HEADINGS, rows: all.map(rowOf) })
    })

  for (const [name, text, done] of [
    ['verify', 'Send the receiver a verification event, by which it sees that the stream works.', 'is sent a verification event'],
    ['pause', 'Stop a stream: what happens is kept for it. Only "enable" starts it again, not its receiver.', 'is paused'],
    ['enable', 'Start a stream that was paused or disabled.', 'is enabled'],
    ['disable', 'Stop a stream for good: what happens meanwhile is not kept for it.', 'is disabled'],
  ] as const) {
    const command = stream.command(`${name} <id>`).description(text)
    if (name !== 'verify') command.option('--reason <text>', 'told to the receiver')
    command
      .option('--json', 'print the result as JSON')
      .action(act(name, done, (call, id, { reason }) => call('POST', `${pathOf(id)}/${name}`, reason === undefined ? {} : { body: { reason } })))
  }
  stream
    .command('rm <id>')
    .description('Delete a stream; its receiver may make a new one.')
    .option('--json', 'print the result as JSON')
    .action(act('rm', 'is deleted', (call, id) => call('DELETE', pathOf(id))))

  stream
    .command('letters <id>')
    .description('List the dead letters: events that the receiver refused or could not be given.')
    .option('--json', 'print the result as JSON')
    .action(async (id: string, { json }: { json?: boolean }) => {
      const letters = await listAll<Letter>(createAdminCall(), `${pathOf(id)}/deadLetters`)
      if (json) return writeJson({ stream: id, deadLetters: letters })
      if (letters.length === 0) return line('There is no dead letter.')
      const rows = letters.map(({ id: letter, seq, attempts, diedDateTime, reason }) => [letter, String(seq), diedDateTime, String(attempts), reason])
      table({ headings: ['ID', 'SEQ', 'DIED', 'ATTEMPTS', 'REASON'], rows })
    })

  stream
    .command('redeliver <id> [letters...]')
    .description('Send dead letters once more: those named, or all.')
    .option('--json', 'print the result as JSON')
    .action(async (id: string, ids: string[], { json }: { json?: boolean }) => {
      const options = ids.length > 0 ? { body: { ids } } : {}
      const response = await createAdminCall()('POST', `${pathOf(id)}/deadLetters/redeliver`, options)
      const { queued, refused } = (await response.json()) as { queued: string[]; refused: { id: string; reason: string }[] }
      if (json) return writeJson({ stream: id, queued, refused })
      line(`${counted(queued.length, 'dead letter')} ${queued.length === 1 ? 'goes' : 'go'} out once more.`)
      for (const one of refused) line(`${one.id} stays: ${one.reason}.`)
    })
}

type Act = (call: AdminCall, id: string, options: { reason?: string }) => Promise<Response>

function act(command: string, done: string, work: Act) {
  return async (id: string, options: { json?: boolean; reason?: string }) => {
    await work(createAdminCall(), id, options)
    if (options.json) writeJson({ stream: id, command })
    else line(`${id} ${done}.`)
  }
}

const HEADINGS = ['ID', 'RECEIVER', 'DELIVERY', 'STATUS', 'BEHIND', 'LIVE', 'DEAD LETTERS']

function rowOf({ id, appId, delivery, guard, status, statusReason, lag, live, deadLetters }: Stream): Cell[] {
  const kind = delivery.endpointUrl === null ? (guard ? 'guard' : 'poll') : `push ${delivery.endpointUrl}`
  const behind = lag.rows === 0 ? '-' : `${counted(lag.rows, 'event')}, ${lag.seconds} s`
  const state = statusReason === null ? status : `${status} (${statusReason})`
  const colour = status === 'enabled' ? 'green' : status === 'paused' ? 'yellow' : 'red'
  return [id, appId, kind, { text: state, colour }, behind, live === null ? '-' : live ? 'yes' : 'no', String(deadLetters)]
}

function pathOf(id: string): string {
  return `/caegis/streams/${encodeURIComponent(id)}`
}
