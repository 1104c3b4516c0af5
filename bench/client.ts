import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build, type Rollup } from 'vite'
import type { Figure } from './figure.ts'

const KB = 1024
const BUDGET = 3 * KB
const CLIENT = fileURLToPath(new URL('../packages/client/src/index.ts', import.meta.url))

/** What a page loads for it, by the bundler of the sample page. */
export async function run(emit: (figure: Figure) => void): Promise<void> {
  const figure = (name: string, code: string, rest: Partial<Figure> = {}) => {
    const value = gzipSync(code, { level: 9 }).length
    emit({ suite: 'client', name: `${name}, minified and gzipped`, value, unit: 'bytes', ...rest })
    return value
  }
  const fetchAlone = await bundle('withClaimsChallenge')
  const msal = await bundle('withClaimsChallenge, msalToken')
  const size = gzipSync(msal, { level: 9 }).length
  figure('withClaimsChallenge and msalToken', msal, { budget: '< 3 KB', holds: size < BUDGET })
  figure('withClaimsChallenge', fetchAlone)
  figure('withClaimsChallenge and oidcToken', await bundle('withClaimsChallenge, oidcToken'))
  figure('all of the client', await bundle('*'))
  emit({ suite: 'client', name: 'withClaimsChallenge and msalToken, minified', value: msal.length, unit: 'bytes' })
}

async function bundle(names: string): Promise<string> {
  const entry = '\0page'
  const built = (await build({
    configFile: false,
    logLevel: 'silent',
    resolve: { conditions: ['caegis-source', 'module', 'browser', 'production'] },
    plugins: [
      {
        name: 'page',
        resolveId: (id) => (id === entry ? id : null),
        load: (id) => (id === entry ? `export ${names === '*' ? '*' : `{ ${names} }`} from ${JSON.stringify(CLIENT)}` : null),
      },
    ],
    build: { write: false, minify: true, target: 'es2022', rollupOptions: { input: entry, preserveEntrySignatures: 'strict' } },
  })) as Rollup.RollupOutput
  const chunks = built.output.filter((one) => one.type === 'chunk')
  if (chunks.length !== 1) throw new Error('the client is not one chunk')
  return (chunks[0] as Rollup.OutputChunk).code
}

if (import.meta.main) await run((line) => console.log(JSON.stringify(line)))
