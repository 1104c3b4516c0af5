import { Agent, request as send } from 'node:https'
import { type Loop, SECRET, startLoop } from '../test/loop.ts'
import { mutateJson, mutateText } from './mutate.ts'
import { LIVE } from './parsers.ts'
import type { Random } from './random.ts'
import { must, read, type Target } from './target.ts'
import { targets as others } from './targets.ts'

interface Request {
  method: string
  path: string
  headers: Record<string, string>
  body: string
}

const { requests } = read<{ requests: Request[] }>('server-captures.json')
const bodies = requests.flatMap(({ body }) => (body === '' ? [] : [body]))
const paths = requests.map(({ path }) => path)
/** Milliseconds that an answer may take to begin before it counts as held: long polls and event streams are. */
const PATIENCE = 500
const MOST = 65_536
/** What no answer holds: where the server lies, and how it is made. */
const PRIVATE = /node_modules|\.ts:\d+|SQLITE/

/** One server for all that a thread sends; it goes with the thread. */
let world: Promise<{ loop: Loop; known: Record<string, string> }> | undefined
const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false })

async function start() {
  const loop = await startLoop()
  const [admin, stream, user] = [
    await loop.daemonToken('nightly', `${loop.origin}/.default`),
    await loop.daemonToken('files-api', 'ssf.read ssf.manage'),
    await loop.daemonToken('nightly', 'api://files/.default'),
  ]
  const { id } = (await (await loop.graph('GET', '/users/alice@contoso.test')).json()) as { id: string }
  const known = { admin, stream, user, alice: id, secret: SECRET, origin: loop.origin, 'origin-form': encodeURIComponent(loop.origin) }
  return { loop, known }
}

function make(random: Random): string {
  const one = { ...random.pick(requests), headers: {} as Record<string, string> }
  const { headers } = requests.find(({ path, method, body }) => path === one.path && method === one.method && body === one.body) as Request
  one.headers = { ...headers }
  const names = Object.keys(one.headers)
  switch (random.below(one.body === '' ? 3 : 6)) {
    case 0:
      one.path = mutateText(one.path, paths, random)
      break
    case 1: {
      const name = random.pick([...names, 'authorization', 'if-match', 'cookie', 'dpop', 'last-event-id', 'x-forwarded-for', 'host', 'content-type'])
      one.headers[name] = mutateText(one.headers[name] ?? 'a=b', Object.values(headers), random)
      break
    }
    case 2:
      one.method = random.pick(['GET', 'POST', 'PUT', 'PATCH', 'OPTIONS', 'HEAD'])
      break
    default:
      one.body = (one.body[0] === '{' ? mutateJson : mutateText)(one.body, bodies, random)
  }
  return JSON.stringify(one)
}

/** Whatever is asked, there is an answer of the protocol: no fault of the server, and nothing private in it. */
async function ask(input: string): Promise<boolean> {
  world ??= start()
  const { loop, known } = await world
  let one: Request
  try {
    one = JSON.parse(input.replace(/\{\{([a-z_-]+)\}\}/g, (_, name: string) => known[name] ?? name)) as Request
    if (typeof one.path !== 'string' || typeof one.method !== 'string' || typeof one.body !== 'string') return false
  } catch {
    return false
  }
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>()
  try {
    const { hostname, port } = new URL(loop.origin)
    const request = send({ agent, hostname, port, method: one.method, path: one.path, headers: one.headers ?? {} }, (response) => {
      let text = ''
      const done = () => resolve({ status: response.statusCode ?? 0, text: `${JSON.stringify(response.headers)}${text}` })
      const late = setTimeout(() => {
        done()
        request.destroy()
      }, PATIENCE)
      response.setEncoding('latin1').on('data', (chunk: string) => {
        if (text.length < MOST) text += chunk
      })
      response.on('close', () => {
        clearTimeout(late)
        done()
      })
    })
    request.setTimeout(PATIENCE, () => {
      resolve({ status: 0, text: '' })
      request.destroy()
    })
    request.on('error', (error: NodeJS.ErrnoException) => {
      // The server breaks off what is no HTTP, and what it has refused unread.
      if (['ECONNRESET', 'EPIPE', 'HPE_INVALID_CONSTANT'].includes(error.code ?? '')) resolve({ status: 0, text: '' })
      else reject(error)
    })
    if (one.method === 'GET' || one.method === 'HEAD') request.end()
    else request.end(one.body)
  } catch (error) {
    // Our own client does not send everything.
    if (error instanceof TypeError) return false
    throw error
  }
  const { status, text } = await promise
  must(status < 500, `status ${status}: ${text.slice(-200)}`)
  // Who sends it may read it: a scope that nobody knows is named.
  must(!PRIVATE.test(text) && (input.includes('{{secret}}') || !text.includes(SECRET)), 'something private in an answer')
  return status >= 200 && status < 400
}

/** All of them, and a real server, to which whole requests are sent. */
export const targets: Target[] = [...others, { name: LIVE, weight: 4, arbitrary: 'json', make, run: ask }]
