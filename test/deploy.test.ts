import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readSettings } from '@caegis/server'
import { afterAll, describe, expect, it } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { temporaryFolder } from './process.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const SETTINGS = new Set(read('packages/server/src/settings.ts').match(/\b(CAEGIS|NATS|DATABASE)_[A-Z_]+\b/g))

const folder = temporaryFolder()
afterAll(() => folder.remove())

/** As the server reads them, with files for the secrets. */
function settingsOf(environment: Record<string, string>) {
  const own = join(folder.path, String(Math.random()))
  mkdirSync(own)
  const files: Record<string, string> = {}
  for (const [name, path] of Object.entries(environment)) {
    expect(SETTINGS, name).toContain(name)
    if (!name.endsWith('_FILE')) continue
    files[name] = join(own, basename(path))
    writeFileSync(files[name], name === 'DATABASE_URL_FILE' ? 'postgres://caegis:a@db/caegis?sslmode=disable' : 'a'.repeat(64))
  }
  return readSettings({ ...environment, ...files, CAEGIS_DATA: own })
}

/** Debian's programs, which a developer's machine may lack. */
const tool = (path: string) => (existsSync(path) ? path : undefined)
const run = (program: string, args: string[], env: Record<string, string> = {}) => {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', env: { PATH: process.env.PATH, HOME: folder.path, ...env } })
  return { status, text: stdout + stderr }
}

describe('what is deployed', () => {
  interface Service {
    environment: Record<string, string>
    secrets: string[]
    stop_grace_period: string
    networks: Record<string, { ipv4_address: string }>
  }
  const compose: { services: Record<string, Service>; secrets: Record<string, unknown>; networks: Record<string, unknown> } = parse(
    read('deploy/compose.yaml'),
    { merge: true },
  )
  const kubernetes = parseAllDocuments(read('deploy/kubernetes.yaml')).map((one) => one.toJS())
  const unit = read('deploy/caegis.service')

  it('gives the server settings that it takes, and time to end, by compose.yaml', () => {
    const { 'server-a': server, 'server-b': other, proxy } = compose.services as Record<string, Service>
    expect(other).toEqual(server)
    const settings = settingsOf({ ...(server as Service).environment, CAEGIS_ORIGIN: 'https://id.example' })
    expect(settings).toMatchObject({ tls: { kind: 'off' }, database: { host: 'db' }, nats: { user: 'caegis' } })
    expect(settings.trustedProxies).toEqual([(proxy as Service).networks.front?.ipv4_address])
    expect(Number.parseInt((server as Service).stop_grace_period, 10)).toBeGreaterThanOrEqual(settings.drain + 15)
    for (const { secrets = [] } of Object.values(compose.services)) for (const one of secrets) expect(Object.keys(compose.secrets)).toContain(one)
    for (const path of Object.values((server as Service).environment).filter((value) => value.startsWith('/run/secrets/')))
      expect((server as Service).secrets).toContain(basename(path))
  })

  it('gives the server settings that it takes, probes that it answers and time to end, by kubernetes.yaml', () => {
    const of = (kind: string) => kubernetes.find((one) => one.kind === kind)
    const settings = settingsOf(of('ConfigMap').data)
    const { spec } = of('Deployment').spec.template
    const [server] = spec.containers
    expect(spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(settings.drain + 15)
    expect([server.livenessProbe, server.readinessProbe, server.startupProbe].map((probe) => probe.httpGet.path)).toEqual([
      ...['/healthz', '/readyz', '/healthz'],
    ])
    // Two readiness probes in a row say no while it still serves.
    expect(settings.drain).toBeGreaterThan(server.readinessProbe.periodSeconds * server.readinessProbe.failureThreshold)
    expect(server.ports[0].containerPort).toBe(settings.port)
    const label = { app: 'caegis' }
    expect(of('Deployment').spec.selector.matchLabels).toEqual(label)
    for (const kind of ['Service', 'PodDisruptionBudget', 'NetworkPolicy'])
      expect(Object.values(of(kind).spec).some((one) => JSON.stringify(one).includes('"app":"caegis"'))).toBe(true)
    const mounted = server.volumeMounts.map(({ name }: { name: string }) => name)
    expect(spec.volumes.map(({ name }: { name: string }) => name)).toEqual(mounted)
    for (const [name, path] of Object.entries(of('ConfigMap').data as Record<string, string>))
      if (name.endsWith('_FILE')) expect(path.startsWith('/run/caegis/')).toBe(true)
  })

  it.runIf(tool('/usr/bin/systemd-analyze'))('is a unit that systemd takes', () => {
    // The program is where it was installed, which is not here.
    const path = join(folder.path, 'caegis.service')
    writeFileSync(path, unit.replace(/\/opt\/caegis\/node_modules\/\.bin\/caegis/, '/bin/true'))
    expect(run('/usr/bin/systemd-analyze', ['verify', path])).toEqual({ status: 0, text: '' })
  })

  it('is a unit whose settings are names of the server, and that gives it time to end', () => {
    for (const [name] of unit.matchAll(/\b(CAEGIS|NATS|DATABASE)_[A-Z_]+\b/g)) expect(SETTINGS).toContain(name)
    expect(Number(unit.match(/TimeoutStopSec=(\d+)/)?.[1])).toBeGreaterThanOrEqual(30)
  })

  it.runIf(tool('/usr/bin/caddy'))('has a proxy before it that Caddy takes', () => {
    const { status, text } = run('/usr/bin/caddy', ['validate', '--adapter', 'caddyfile', '--config', join(ROOT, 'deploy/Caddyfile')], {
      CAEGIS_ORIGIN: 'https://id.example',
    })
    expect(status, text).toBe(0)
    for (const name of ['server-a', 'server-b']) expect(read('deploy/Caddyfile')).toContain(`${name}:8443`)
  })

  it.runIf(tool('/usr/sbin/nats-server'))('has a broker that nats-server takes, with the permissions that docs/fleet.md gives', () => {
    const { status, text } = run('/usr/sbin/nats-server', ['-t', '-c', join(ROOT, 'deploy/nats.conf')], { SERVER: 'a', GUARDS: 'b' })
    expect(status, text).toBe(0)
    // As the container starts it, with passwords of which a number could be made.
    const secrets = join(folder.path, 'nats')
    mkdirSync(secrets)
    for (const [name, password] of [
      ['nats', '758e126b5d1c'],
      ['nats-guards', '12345678'],
    ] as const)
      writeFileSync(join(secrets, name), `${password}\n`)
    const [shell, , command] = parse(read('deploy/compose.yaml')).services.nats.entrypoint
    const script = command
      .replaceAll('$$', '$')
      .replaceAll('/run/secrets', secrets)
      .replace('nats-server --config /etc/nats/caegis.conf', `/usr/sbin/nats-server -t -c ${join(ROOT, 'deploy/nats.conf')}`)
    const started = run(shell, ['-c', script])
    expect(started.status, started.text).toBe(0)
    const users = (path: string) => read(path).match(/authorization \{[\s\S]*?\n\}/)?.[0]
    expect(users('deploy/nats.conf')).toBe(users('docs/fleet.md'))
  })

  it('shows figures that there are', () => {
    const told = new Set(
      [...read('docs/running.md').matchAll(/`(caegis_\w+)`/g), ...read('docs/observability.md').matchAll(/`(caegis_\w+)`/g)].map(([, name]) => name),
    )
    const dashboard = JSON.parse(read('deploy/grafana.json'))
    const panels: { id: number; targets?: { expr: string }[] }[] = dashboard.panels
    const asked = JSON.stringify(dashboard).match(/caegis_[a-z_]+/g) ?? []
    expect(asked.length).toBeGreaterThan(20)
    for (const name of asked) expect(told).toContain(name.replace(/_bucket$/, ''))
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
  })

  it('is an image whose files are there', () => {
    const text = read('deploy/Containerfile')
    expect(text).toContain('/app/packages/cli/bin/caegis.js')
    for (const [, names] of text.matchAll(/rm -rf ([\w /.]+)/g))
      for (const name of (names as string)
        .trim()
        .split(' ')
        .filter((one) => !one.includes('/')))
        expect(existsSync(join(ROOT, name)), name).toBe(true)
  })
})
