import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { DemoFacts } from '../demo/demo.ts'
import { stopOnSignals } from '../stop.ts'

export function addDemo(program: Command): void {
  program
    .command('demo')
    .description('Run the server with a sample tenant, a protected API and a sample page, on this machine only.')
    .option('--once', 'run the whole loop once, headless, on temporary data and free ports, and exit')
    .option('--json', 'print facts as JSON')
    .option('--data <folder>', 'where the data lies [CAEGIS_DATA]', process.env.CAEGIS_DATA ?? '.caegis')
    .option('--port <number>', 'port of the server; the API and the page take the next two [CAEGIS_PORT]', process.env.CAEGIS_PORT ?? '8443')
    .action(async (options: { once?: boolean; json?: boolean; data: string; port: string }) => {
      if (options.once) {
        const { runOnce } = await import('../demo/once.ts')
        const start = performance.now()
        const held = await runOnce((hop) => {
          const time = `${hop.milliseconds.toFixed(0).padStart(6)} ms`
          process.stdout.write(
            options.json
              ? `${JSON.stringify(hop)}\n`
              : `${hop.held ? '✓' : '✗'} ${time}  ${hop.scenario.padEnd(9)} ${hop.hop}${hop.found ? ` (${hop.found})` : ''}\n`,
          )
        })
        const seconds = ((performance.now() - start) / 1000).toFixed(1)
        if (options.json) process.stdout.write(`${JSON.stringify({ held, seconds: Number(seconds) })}\n`)
        else process.stdout.write(held ? `The loop held, in ${seconds} s.\n` : 'The loop did not hold.\n')
        // MSAL keeps timers; everything of ours is closed.
        process.exit(held ? 0 : 1)
      }
      const port = Number(options.port)
      const { startDemo } = await import('../demo/demo.ts')
      const demo = await startDemo({
        data: options.data,
        ports: { server: port, api: port + 1, page: port + 2 },
        logLevel: process.env.CAEGIS_LOG ?? 'warn',
      })
      process.stdout.write(options.json ? `${JSON.stringify(demo.facts)}\n` : guide(demo.facts, options.data))
      stopOnSignals(() => demo.close())
    })
}

function guide({ origin, api, spa, console: page, caFile, admin, users }: DemoFacts, data: string): string {
  const [alice] = users as [{ username: string; password: string }]
  const environment = exports(origin, data)
  return `
CAEgis is running on this machine only. Press Ctrl-C to stop; the data stays.

  Server       ${origin}
  Console      ${page}
  Sample API   ${api}   GET /ping is open, GET /controlplane/manage is protected
  Sample page  ${spa}

Sign in as
${[...users, admin].map((one) => `  ${one.username.padEnd(22)} ${one.password}`).join('\n')}

Try this
  1. Open ${origin} once and accept the certificate (or trust ${caFile}).
  2. Open ${spa}, sign in as ${alice.username}, and switch on "call every second".
  3. In another terminal, where you sign in as ${admin.username}:
${[...environment, 'npx caegis login --tenant contoso', `npx caegis user revoke ${alice.username}`].map((one) => `       ${one}`).join('\n')}
     The very next call is refused, and the page asks alice to sign in again.
     "user disable" and "user enable" do what they say.
`
}

/** What the other commands have to be told, where it is not what they take by themselves in the same folder. */
function exports(origin: string, data: string): string[] {
  const folder = resolve(data)
  return [
    ...(origin === 'https://localhost:8443' ? [] : [`export CAEGIS_ORIGIN=${origin}`]),
    ...(folder === resolve('.caegis')
      ? []
      : [`export CAEGIS_DATA=${/^[\w./@:+-]+$/.test(folder) ? folder : `'${folder.replaceAll("'", "'\\''")}'`}`]),
  ]
}
