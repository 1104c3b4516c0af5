import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import type { Trial } from '../machine.ts'
import { recovered, startHost } from './host.ts'

/** The server may open no further file, and connections take what there is. */
export const handles: Trial = async (say) => {
  const faults: string[] = []
  const host = await startHost()
  const sockets: Socket[] = []
  try {
    const limit = (count: number) => spawnSync('prlimit', ['--pid', String(host.pid), `--nofile=${count}:`]).status === 0
    const soft = Number(/Max open files\s+(\d+)/.exec(readFileSync(`/proc/${host.pid}/limits`, 'utf8'))?.[1])
    const open = () => readdirSync(`/proc/${host.pid}/fd`).length
    const { token } = await host.token()
    if (!limit(open() + 10)) {
      say('  another process cannot be limited here')
      return undefined
    }
    const { port } = new URL(host.origin)
    for (let i = 0; i < 50; i++) sockets.push(connect(Number(port), '127.0.0.1').on('error', () => {}))
    await new Promise((resolve) => setTimeout(resolve, 1000))
    // Who has a connection is served or told; who has none hears nothing or a reset. Nobody gets what he should not.
    const seen = new Set<number | string>()
    for (let i = 0; i < 20; i++) for (const status of [(await host.token()).status, await host.change()]) seen.add(status)
    for (const status of seen)
      if (typeof status === 'number' && status !== 200 && status !== 503)
        faults.push(`a request was answered with ${status} while no file could be opened`)
    say(`  meanwhile: ${[...seen].join(', ')}`)
    const verdict = await host.check(token)
    if (verdict !== true && verdict !== 503) faults.push(`the guard answers ${verdict}`)
    for (const socket of sockets) socket.destroy()
    limit(soft)
    await recovered(host, faults)
  } finally {
    for (const socket of sockets) socket.destroy()
    await host.close()
  }
  return faults
}
