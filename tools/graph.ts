/**
 * Why: the OpenAPI document and the table of permissions are made of the routes themselves, so that they cannot say anything else. Without `--check` both are written.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import Fastify from 'fastify'
import { describeApi, permissionsOf } from '../packages/server/src/graph/openapi.ts'
import { registerGraph } from '../packages/server/src/graph/routes.ts'

const quiet = { debug() {}, info() {}, warn() {}, error() {} }
const routes = registerGraph(Fastify(), { origin: 'https://localhost', log: quiet, admit: async () => undefined, tag: () => '' })

const BEGIN = '<!-- permissions: made by tools/graph.ts -->'
const rows = [...routes]
  .sort((a, b) => (a.url < b.url ? -1 : a.url > b.url ? 1 : 0))
  .map((one) => `| \`${one.method} ${one.url}\` | ${one.does} | ${permissionsOf(one)} |`)
const guide = readFileSync('docs/graph.md', 'utf8')
const begin = guide.indexOf(BEGIN)
if (begin < 0) throw new Error(`docs/graph.md has no line ${BEGIN}`)

const wanted = {
  'docs/openapi.json': `${JSON.stringify(describeApi(routes), null, 1)}\n`,
  'docs/graph.md': `${guide.slice(0, begin)}${BEGIN}\n\n| route | what it does | permission |\n|---|---|---|\n${rows.join('\n')}\n`,
}
for (const [file, text] of Object.entries(wanted)) {
  if (!process.argv.includes('--check')) writeFileSync(file, text)
  else if (readFileSync(file, 'utf8') !== text) {
    process.stderr.write(`${file} does not say what the routes say: run node --conditions=caegis-source tools/graph.ts\n`)
    process.exitCode = 1
  }
}
