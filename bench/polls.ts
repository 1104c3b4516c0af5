import { type ChildProcess, fork } from 'node:child_process'
import { connect } from 'node:tls'
import { firstWord } from './load.ts'

export interface Polls {
  port: number
  host: string
  ca: string
  paths: string[]
  token: string
  /** `{epoch, seq}` that each says it has applied. */
  applied: { epoch: string; seq: number }
}

/** What a client process tells when it is asked. */
export interface Told {
  /** Requests that are not answered yet. */
  open: number
  answers: number
  /** By status, of those that were not 200. */
  refused: Record<string, number>
  /** Milliseconds, by the clock that all processes share, of the first answer of each connection that knew more than the log held at the start. */
  heard: number[]
}

const now = () => Number(process.hrtime.bigint()) / 1e6

/** Long polls, each over a connection of its own, from another process. */
export async function startPolls(polls: Polls): Promise<{ ask(): Promise<Told>; close(): void }> {
  const child: ChildProcess = fork(import.meta.filename)
  await firstWord(child, 'the client')
  child.send(polls)
  await new Promise<void>((resolve, reject) => {
    child.once('message', () => resolve())
    child.once('exit', () => reject(new Error('the client ended')))
  })
  return {
    ask() {
      const told = firstWord<Told>(child, 'the client')
      child.send('tell')
      return told
    },
    close: () => void child.kill(),
  }
}

async function run({ port, host, ca, paths, token, applied }: Polls): Promise<() => Told> {
  const told: Told = { open: 0, answers: 0, refused: {}, heard: [] }
  let session: Buffer | undefined
  const one = (path: string) =>
    new Promise<void>((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca, ...(session && { session }) })
      let place = applied
      let heard = false
      let text = ''
      socket.once('session', (made) => {
        session ??= made
      })
      const send = () => {
        const body = JSON.stringify({ returnImmediately: false, caegis_applied: place })
        const head = `POST ${path} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`
        socket.write(head + body)
        told.open++
      }
      socket.on('error', reject)
      socket.once('secureConnect', () => {
        send()
        resolve()
      })
      socket.setEncoding('latin1').on('data', (chunk) => {
        text += chunk
        const end = text.indexOf('\r\n\r\n')
        const size = end < 0 ? undefined : Number(/content-length: (\d+)/i.exec(text.slice(0, end))?.[1])
        if (size === undefined || text.length < end + 4 + size) return
        const status = text.slice(9, 12)
        told.open--
        told.answers++
        if (status === '200') {
          const { caegis_head: head } = JSON.parse(text.slice(end + 4))
          if (head.seq > applied.seq && !heard) {
            heard = true
            told.heard.push(now())
          }
          place = { epoch: head.epoch, seq: head.seq }
        } else told.refused[status] = (told.refused[status] ?? 0) + 1
        text = ''
        if (status === '200') send()
        else setTimeout(send, 1000)
      })
    })
  for (let at = 0; at < paths.length; at += 50) await Promise.all(paths.slice(at, at + 50).map(one))
  return () => told
}

if (import.meta.main) {
  let tell: (() => Told) | undefined
  process.on('message', (question: Polls | 'tell') => {
    if (question === 'tell') process.send?.(tell?.())
    else
      void run(question).then((made) => {
        tell = made
        process.send?.('open')
      })
  })
  process.once('disconnect', () => process.exit(0))
  process.send?.('ready')
}
