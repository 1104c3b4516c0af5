import type { Command } from 'commander'
import { createAdminCall, listAll } from '../admin-call.ts'
import { line, table, writeJson } from '../output.ts'

interface Upstream {
  id: string
  issuer: string
  displayName: string
  enabled: boolean
  delivery: string
  domains: string[]
  actions: Record<string, string>
  status: {
    state: string
    stale: boolean
    error: string | null
    gaps: number
    lastGapDateTime: string | null
    lastHeardDateTime: string | null
    undelivered: string[]
    counts: Record<string, number>
    outcomes: { outcome: string; type: string; count: number; lastDateTime: string; lastSubject: unknown }[]
  }
}

/** `upstream`: the transmitters that the tenant listens to, and what became of what they said. */
export function addUpstream(program: Command): void {
  const upstream = program.command('upstream').description('Look at the transmitters that are listened to.')

  upstream
    .command('list')
    .alias('ls')
    .description('List them: whether each is heard, and what was lost.')
    .option('--json', 'print the result as JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const all = await listAll<Upstream>(createAdminCall(), '/caegis/upstreams')
      if (json) return writeJson({ upstreams: all })
      if (all.length === 0) return line('No other transmitter is listened to.')
      table({ headings: ['ID', 'NAME', 'ISSUER', 'DELIVERY', 'STATE', 'LAST HEARD', 'GAPS', 'DONE'], rows: all.map(rowOf) })
    })

  upstream
    .command('show <id>')
    .description('Show one: what became of its events.')
    .option('--json', 'print the result as JSON')
    .action(async (id: string, { json }: { json?: boolean }) => {
      const one = (await (await createAdminCall()('GET', `/caegis/upstreams/${encodeURIComponent(id)}`)).json()) as Upstream
      if (json) return writeJson(one)
      const { status, domains, actions } = one
      const facts = [
        ['name', one.displayName],
        ['issuer', one.issuer],
        ['delivery', one.delivery],
        ['state', stateOf(one)],
        ['last heard', status.lastHeardDateTime ?? '-'],
        ['stream lost', status.gaps === 0 ? 'never' : `${status.gaps} times, last ${status.lastGapDateTime}: what happened meanwhile is unknown`],
        ['not delivered', status.undelivered.join(' ') || '-'],
        ['domains', domains.join(' ') || '-'],
        [
          'actions',
          Object.entries(actions)
            .map(([name, action]) => `${name}=${action}`)
            .join(' ') || 'default',
        ],
        ['refused', String(status.counts.refused ?? 0)],
      ]
      table({ rows: facts })
      if (status.outcomes.length === 0) return line('It has said nothing yet.')
      line('')
      const rows = status.outcomes.map(({ outcome, type, count, lastDateTime, lastSubject }) => {
        return [outcome, type.slice(type.lastIndexOf('/') + 1), String(count), lastDateTime, JSON.stringify(lastSubject)]
      })
      table({ headings: ['OUTCOME', 'EVENT', 'COUNT', 'LAST', 'LAST SUBJECT'], rows })
    })
}

function rowOf(one: Upstream): string[] {
  const { id, displayName, issuer, delivery, status } = one
  const done = status.outcomes.filter(({ outcome }) => outcome === 'committed').reduce((sum, { count }) => sum + count, 0)
  return [id, displayName, issuer, delivery, stateOf(one), status.lastHeardDateTime ?? '-', String(status.gaps), String(done)]
}

function stateOf({ enabled, status }: Upstream): string {
  if (!enabled) return 'switched off'
  const words = [...(status.stale ? ['not to be relied on'] : []), ...(status.error === null ? [] : [status.error])]
  return words.length === 0 ? status.state : `${status.state} (${words.join(', ')})`
}
