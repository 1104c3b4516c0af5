import { existsSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { fuzz } from '../../../fuzz/fuzz.ts'
import { createInputs, tryInput } from '../../../fuzz/inputs.ts'
import { LIVE, PARSERS, parserRows } from '../../../fuzz/parsers.ts'
import { targets } from '../../../fuzz/targets.ts'
import { targets as broken } from './broken-targets.ts'

const SEED = 20_260_101
const ROOT = new URL('../../../', import.meta.url)

it('has a target for every parser that is known to meet strangers, a parser for every target, and the page says so', () => {
  const named = new Set(PARSERS.map(({ target }) => target))
  expect([...named].sort()).toEqual([...targets.map(({ name }) => name), LIVE].sort())
  expect(PARSERS.filter(({ file }) => !existsSync(new URL(file, ROOT)))).toEqual([])
  const page = readFileSync(new URL('docs/reliability.md', ROOT), 'utf8')
  expect(parserRows().filter((row) => !page.includes(`${row}\n`))).toEqual([])
})

it('every parser that meets strangers takes or refuses whatever it is given, and accepts nothing that nobody signed', async () => {
  const { failures, counts } = await fuzz({ inputs: 4000, seed: SEED })
  expect(failures).toEqual([])
  expect([...counts.keys()].sort()).toEqual(targets.map(({ name }) => name).sort())
  // A parser that refuses everything would be found to be safe.
  for (const [name, { inputs, taken }] of counts) expect([name, taken > 0, taken < inputs]).toEqual([name, true, true])
}, 120_000)

it('finds what is broken, names it, and goes on', async () => {
  const { failures, counts } = await fuzz({
    inputs: 300,
    seed: SEED,
    module: new URL('./broken-targets.ts', import.meta.url).href,
    patience: 1000,
    workers: 2,
  })
  const found = broken.map(({ name }) => [name, failures.flatMap(({ target, wrong }) => (target === name ? [wrong] : [])).join()])
  expect(Object.fromEntries(found)).toEqual({
    'throws what is no refusal': expect.stringMatching(/TypeError|SyntaxError/),
    'accepts what nobody signed': expect.stringContaining('nobody signed'),
    'changes a prototype': expect.stringContaining('prototype'),
    'has no end': expect.stringContaining('no end'),
    'waits for ever': expect.stringContaining('no end'),
  })
  expect(counts.size).toBeGreaterThan(0)
}, 120_000)

it('a failure is told by its seed and position, and by its text', async () => {
  const { failures } = await fuzz({
    inputs: 40,
    seed: SEED,
    module: new URL('./broken-targets.ts', import.meta.url).href,
    patience: 1000,
    workers: 1,
  })
  const failure = failures.find(({ target }) => target === 'accepts what nobody signed')
  const again = createInputs(broken, SEED)(failure?.index as number)
  expect(Buffer.from(again.text).toString('base64')).toBe(failure?.input)
  expect((await tryInput(again)).wrong).toBe(failure?.wrong)
}, 120_000)
