import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { localTls } from '@caegis/server'
import { afterAll, expect, it } from 'vitest'
import { freePort, storeOf } from './loop.ts'
import { killPrograms, startProgram, temporaryFolder } from './process.ts'

const folder = temporaryFolder()
afterAll(async () => {
  await killPrograms()
  folder.remove()
})
const PATIENT = { timeout: 40_000 }

/** A pair of its own authority in a folder. */
async function pair(name: string) {
  const { cert, key } = await localTls(join(folder.path, name), Date.now())
  return { cert, key }
}

/** Serial number of the certificate that a new connection gets. */
const serialAt = (port: number) =>
  new Promise<string>((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().serialNumber)
      socket.destroy()
    })
    socket.once('error', reject)
  })

it('reads its settings and its certificate again on SIGHUP, all of them or none', async () => {
  const [first, second] = [await pair('one'), await pair('two')]
  const [cert, key, config] = ['cert.pem', 'key.pem', 'caegis.env'].map((name) => join(folder.path, name)) as [string, string, string]
  const write = (file: string, text: string) => {
    writeFileSync(`${file}.new`, text)
    renameSync(`${file}.new`, file)
  }
  write(cert, first.cert)
  write(key, first.key)
  const port = await freePort()
  const say = (more: string) => write(config, `CAEGIS_TLS_CERT=${cert}\nCAEGIS_TLS_KEY=${key}\nCAEGIS_PORT=${port}\n${more}\n`)
  say('CAEGIS_LOG=info')
  await storeOf(join(folder.path, 'data'))
  const program = startProgram(['serve', '--data', join(folder.path, 'data'), '--config', config])
  await program.says('stderr', /"listening"/)
  const old = await serialAt(port)

  // A bad setting beside good ones: nothing of it holds.
  say('CAEGIS_LOG=debug\nCAEGIS_TRUSTED_PROXIES=nonsense')
  write(cert, second.cert)
  program.signal('SIGHUP')
  await program.says('stderr', /not reloaded.*CAEGIS_TRUSTED_PROXIES must be/)
  say('CAEGIS_TRUSTED_PROXYS=127.0.0.1')
  program.signal('SIGHUP')
  await program.says('stderr', /not reloaded.*line 4: CAEGIS_TRUSTED_PROXYS is no setting/)
  // A certificate without its key: neither.
  say('CAEGIS_TRUSTED_PROXIES=127.0.0.1')
  program.signal('SIGHUP')
  await program.says('stderr', /not reloaded.*the key that belongs to it/)
  expect(await serialAt(port)).toBe(old)

  write(key, second.key)
  say('CAEGIS_TRUSTED_PROXIES=127.0.0.1\nCAEGIS_LOOP_LIMIT=77')
  program.signal('SIGHUP')
  await program.says('stderr', /the settings were read again/)
  await program.says('stderr', /from the next start on only.*"loopLimit"/)
  await expect.poll(() => serialAt(port), PATIENT).not.toBe(old)
  expect(program.stderr()).not.toContain(readFileSync(key, 'utf8').split('\n')[1] as string)

  program.signal('SIGTERM')
  expect(await program.ended).toMatchObject({ code: 0 })
})
