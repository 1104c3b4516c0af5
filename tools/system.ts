/**
 * Why: the end-to-end tests use real programs of the system. Installs what is missing where that may be done (root on Debian or Ubuntu); otherwise says exactly
 * what to install, and goes on: the tests that need it skip with a line, and fail in CI.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

const NEEDED = [
  { program: '/usr/bin/chromium', packages: ['chromium'], why: 'the sample page is tested in a real browser' },
  { program: '/usr/sbin/slapd', packages: ['slapd'], why: 'the sync with LDAP is tested against a real server' },
  { program: '/usr/sbin/nginx', packages: ['nginx'], why: 'the gateway is tested behind it' },
  { program: '/usr/bin/caddy', packages: ['caddy'], why: 'the gateway is tested behind it' },
  {
    program: '/usr/lib/python3/dist-packages/fastapi/__init__.py',
    packages: ['python3-fastapi', 'python3-uvicorn', 'python3-jwt', 'python3-cryptography', 'python3-httpx'],
    why: 'an application in Python is tested behind the gateway',
  },
  { program: '/usr/sbin/nats-server', packages: ['nats-server'], why: 'guard fleets are tested with a real broker' },
  { program: '/usr/sbin/apache2', packages: ['apache2-bin', 'lua-socket'], why: 'the gateway is tested behind it' },
  { program: '/usr/lib/postgresql', packages: ['postgresql'], why: 'the store is tested on it' },
  { program: '/usr/bin/spin', packages: ['spin'], why: 'the model of the protocol is searched through by it' },
  { program: '/usr/bin/gcc', packages: ['gcc', 'libc6-dev'], why: 'what Spin makes of the model is compiled' },
  { program: '/usr/bin/curl', packages: ['curl'], why: 'the requests that the documentation shows are made with it' },
  { program: '/usr/bin/zsh', packages: ['zsh'], why: 'the completion of the command is read by it' },
  { program: '/usr/bin/fish', packages: ['fish'], why: 'the completion of the command is read by it' },
]

const missing = NEEDED.filter(({ program }) => !existsSync(program))
if (missing.length > 0) {
  const packages = missing.flatMap((one) => one.packages)
  if (process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    process.stdout.write(`installing ${packages.join(', ')} (apt-get)\n`)
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    run('apt-get', ['update', '-qq'], env)
    run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], env)
  }
  for (const { program, why, packages: names } of missing.filter((one) => !existsSync(one.program))) {
    process.stdout.write(`missing: ${program} (${why}); install it with: sudo apt-get install ${names.join(' ')}\n`)
  }
}

function run(command: string, args: string[], env: NodeJS.ProcessEnv): void {
  const { status, stderr } = spawnSync(command, args, { env, stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' })
  if (status !== 0) process.stdout.write(`${command} ${args[0]} failed: ${stderr.trim().split('\n').at(-1) ?? ''}\n`)
}
