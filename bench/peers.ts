import { type ChildProcess, fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import type { AppStart } from './app.ts'
import { type Figure, quantile } from './figure.ts'
import { firstWord, startLoad } from './load.ts'

type Given = Omit<AppStart, 'framework' | 'auth'>
type Say = (name: string, value: number, unit: string, rest?: Partial<Figure>) => void

const ROUNDS = 3
const CONNECTIONS = 16
const LENGTH = 700
const LOADS = 40
const CACHED = 30_000

/** Requests through frameworks without any check, with jose and with the guard: each application and the client a process of its own, in turns. */
export async function frameworks(say: Say, given: Given, token: string): Promise<void> {
  const children: ChildProcess[] = []
  const load = await startLoad()
  try {
    const ways: { framework: AppStart['framework']; auth: AppStart['auth']; name: string; port: number; rates: number[]; times: number[] }[] = []
    for (const framework of ['express', 'fastify'] as const) {
      for (const auth of ['none', 'jose', 'guard'] as const) {
        const name = `${framework === 'express' ? 'Express 5' : 'Fastify 5'}, ${{ none: 'open', jose: 'jose', guard: 'guard' }[auth]}`
        ways.push({ framework, auth, name, port: await startApp({ ...given, framework, auth }, children), rates: [], times: [] })
      }
    }
    // The first round warms up.
    for (let round = 0; round <= ROUNDS; round++) {
      for (const { port, rates, times } of ways) {
        const { rate, samples } = await load.run({ port, path: '/files/42', token, connections: CONNECTIONS, length: LENGTH })
        if (round === 0) continue
        rates.push(rate)
        times.push(...samples)
      }
    }
    for (const { framework, auth, name, rates, times } of ways) {
      const open = ways.find((one) => one.framework === framework && one.auth === 'none')
      const rate = quantile(rates, 0.5)
      say(name, rate, 'req/s', auth === 'none' || !open ? {} : { peer: open.name, ratio: rate / quantile(open.rates, 0.5) })
      say(`${name}, p99`, quantile(times, 0.99), 'ms')
    }
  } finally {
    load.close()
    for (const child of children) child.kill()
  }
}

/** What a resource server does that asks the issuer about each token (RFC 7662), and one that believes an answer for 30 s, as long as a revocation then takes at worst. */
export async function introspection(say: Say, given: Given, tokens: readonly string[]): Promise<void> {
  const children: ChildProcess[] = []
  try {
    const port = await startApp({ ...given, framework: 'introspection', auth: 'none' }, children)
    const ask = async (token: string): Promise<unknown> => {
      const body = new URLSearchParams({ token, client_id: 'files-api', client_secret: 'a-secret-of-nobody' })
      const response = await fetch(`http://127.0.0.1:${port}/introspect`, { method: 'POST', body, signal: AbortSignal.timeout(5000) })
      return response.json()
    }
    const cache = new Map<string, { answer: unknown; until: number }>()
    const cached = (token: string): unknown => {
      const key = createHash('sha256').update(token).digest('base64url')
      const known = cache.get(key)
      if (known && known.until > Date.now()) return known.answer
      return ask(token).then((answer) => cache.set(key, { answer, until: Date.now() + CACHED }))
    }
    for (const token of tokens) await cached(token)
    const times = { asked: [] as number[], cached: [] as number[] }
    const some = tokens.slice(0, LOADS)
    for (let round = 0; round < 9; round++) {
      const from = performance.now()
      for (const token of some) await ask(token)
      const middle = performance.now()
      for (const token of tokens) cached(Buffer.from(token, 'latin1').toString('latin1'))
      times.asked.push(((middle - from) / some.length) * 1000)
      times.cached.push(((performance.now() - middle) / tokens.length) * 1000)
    }
    say('introspection over HTTP on loopback', quantile(times.asked, 0.5), 'us')
    say('introspection, answers kept for 30 s', quantile(times.cached, 0.5), 'us')
  } finally {
    for (const child of children) child.kill()
  }
}

async function startApp(start: AppStart, children: ChildProcess[]): Promise<number> {
  const child = fork(fileURLToPath(new URL('app.ts', import.meta.url)))
  children.push(child)
  child.send(start)
  return firstWord<number>(child, `${start.framework} with ${start.auth}`)
}
