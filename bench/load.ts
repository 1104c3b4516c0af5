import { type ChildProcess, fork } from 'node:child_process'
import { connect } from 'node:net'

export interface Load {
  port: number
  path: string
  token: string
  connections: number
  /** Milliseconds. */
  length: number
}

export interface Loaded {
  /** Answers a second. */
  rate: number
  /** Milliseconds of each. */
  samples: number[]
}

/** Milliseconds: whatever does not answer within is broken, and says so instead of being waited for. */
export const TIME_LIMIT = 30_000
const ANSWER_LIMIT = 10_000

/** Requests over kept connections from a process of its own: the client shall not share an event loop with what is measured. */
export async function startLoad(): Promise<{ run(load: Load): Promise<Loaded>; close(): void }> {
  const child = fork(import.meta.filename)
  await firstWord(child, 'the client')
  return {
    async run(load) {
      child.send(load)
      const told = await firstWord<Loaded | { failed: string }>(child, 'the client')
      if ('failed' in told) throw new Error(told.failed)
      return told
    },
    close: () => void child.kill(),
  }
}

/** The next thing that a process says; its end, and its silence, are errors. */
export function firstWord<T>(child: ChildProcess, name: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = (then: () => void) => {
      clearTimeout(timer)
      child.off('message', said).off('exit', ended)
      then()
    }
    const said = (told: unknown) => settle(() => resolve(told as T))
    const ended = () => settle(() => reject(new Error(`${name} ended`)))
    const timer = setTimeout(() => settle(() => reject(new Error(`${name} says nothing`))), TIME_LIMIT)
    child.on('message', said).on('exit', ended)
  })
}

/** One request at a time on each connection, written and read as bare bytes. */
async function run({ port, path, token, connections, length }: Load): Promise<Loaded> {
  const question = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${token}\r\n\r\n`)
  const samples: number[] = []
  const start = performance.now()
  const end = start + length
  const one = (): Promise<void> =>
    new Promise<void>((resolve, reject) => {
      let text = ''
      let sent = 0
      const socket = connect(port, '127.0.0.1', send)
      function send() {
        sent = performance.now()
        socket.write(question)
      }
      const fail = (why: string) => {
        socket.destroy()
        reject(new Error(`${why} at ${port}${path}`))
      }
      socket.setNoDelay().setTimeout(ANSWER_LIMIT, () => fail('no answer'))
      socket.on('error', ({ message }) => fail(message))
      // nginx ends a connection after a thousand requests.
      socket.on('close', () => (performance.now() >= end ? resolve() : one().then(resolve, reject)))
      socket.setEncoding('latin1').on('data', (chunk) => {
        text += chunk
        const head = text.indexOf('\r\n\r\n')
        if (head < 0) return
        const size = /content-length: (\d+)/i.exec(text.slice(0, head))?.[1]
        if (size === undefined ? !text.endsWith('0\r\n\r\n') : text.length < head + 4 + Number(size)) return
        if (!text.startsWith('HTTP/1.1 200')) return fail(text.slice(0, 200))
        const isLast = /^connection: close/im.test(text.slice(0, head))
        text = ''
        const now = performance.now()
        samples.push(now - sent)
        // What is written to a connection that the server ends would be answered with a reset.
        if (now >= end || isLast) socket.destroy()
        else send()
      })
    })
  await Promise.all(Array.from({ length: connections }, one))
  return { rate: (samples.length * 1000) / (performance.now() - start), samples }
}

if (import.meta.main) {
  process.on('message', (load: Load) => {
    run(load).then(
      (loaded) => process.send?.(loaded),
      (error: Error) => process.send?.({ failed: error.message }),
    )
  })
  process.once('disconnect', () => process.exit(0))
  process.send?.('ready')
}
