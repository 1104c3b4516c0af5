import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { runCases, TEMPLATES } from '../src/index.ts'
import { BUILT_IN_CONTROLS, CLIENT_APP_TYPES, GUEST_TYPES, PLATFORMS, RISK_LEVELS } from '../src/policy.ts'

const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8')
const blocks = (text: string, language: string) =>
  [...text.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g'))].map(([, code]) => code as string)

it('the example of the README prints what it says', () => {
  const [code] = blocks(read('../README.md'), 'ts') as [string]
  const said = [...code.matchAll(/^\/\/ (.*)$/gm)].map(([, line]) => line)
  expect(said).toHaveLength(2)
  const printed = execFileSync(process.execPath, ['--conditions=caegis-source', '--input-type=module-typescript', '--eval', code], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    encoding: 'utf8',
  })
  expect(printed.trim().split('\n')).toEqual(said)
})

describe('docs/policies.md', () => {
  const page = read('../../../docs/policies.md')

  it('shows cases that pass', () => {
    const files = blocks(page, 'yaml')
    expect(files.length).toBeGreaterThan(0)
    for (const file of files) expect(runCases(parse(file)).filter(({ passed }) => !passed)).toEqual([])
  })

  it('names every word of the conditions and controls, and every template', () => {
    const words = [...BUILT_IN_CONTROLS, ...CLIENT_APP_TYPES, ...GUEST_TYPES, ...PLATFORMS, ...RISK_LEVELS, ...TEMPLATES.map(({ name }) => name)]
    for (const word of words) expect(page).toContain(`\`${word}\``)
  })
})
