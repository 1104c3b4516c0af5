import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { readRoutesFile } from '../packages/cli/src/routes-file.ts'
import { killPrograms, runProgram, temporaryFolder } from './process.ts'

const folder = temporaryFolder()
afterAll(async () => {
  await killPrograms()
  folder.remove()
})
const NEEDED = ['--issuer', 'https://id.example/v2.0', '--audience', 'api://files', '--client-id', 'files-api', '--listen', '127.0.0.1:0']
const file = join(folder.path, 'routes.yaml')

describe('caegis gateway', () => {
  it('does not listen where others reach it unless that is meant, nor without a secret, nor with a map that it cannot read', async () => {
    writeFileSync(file, 'routes:\n  files: { public: true }\n')
    const runs: [string[], string][] = [
      [['--listen', '0.0.0.0:0'], '--allow-remote'],
      [['--listen', '[::]:0', '--allow-remote'], '--trusted-proxies'],
      [['--routes', file], 'routes.yaml line 2: '],
      [['--origin', 'https://api.example/'], '--origin is scheme, host and port'],
      [['--origin', 'https://api.example,'], '--origin is scheme, host and port'],
      [[], 'CAEGIS_CLIENT_SECRET'],
    ]
    for (const [args, said] of runs) {
      const env: Record<string, string> = args.length === 0 ? {} : { CAEGIS_CLIENT_SECRET: 'a-secret' }
      expect(await runProgram(['gateway', ...NEEDED, ...args], { env })).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(said) })
    }
  })

  it('names the line of each mistake in the map of routes', () => {
    const told = (text: string) => {
      writeFileSync(file, text)
      try {
        return JSON.stringify(readRoutesFile(file))
      } catch (error) {
        return (error as Error).message
      }
    }
    const mistakes = told(
      'routes:\n  /ping: { public: true }\n  files: { scope: A }\n  /a: { scopes: A }\n  /b: { public: true, scope: A }\n  /c: { maxAge: 0 }\nextra: 1\n',
    )
    for (const line of [3, 4, 5, 6, 7]) expect(mistakes).toMatch(new RegExp(`routes\\.yaml line ${line}: `))
    expect(mistakes).not.toMatch(/line [128]:/)
    expect(told('routes:\n  /a: { scope: A }\n  /a: { public: true }\n')).toContain('line 3: duplicate key')
    for (const text of [
      'routes: [\n',
      '',
      'routes: []',
      'preflight: true',
      'routes:\n  /a:\n',
      'routes: { /a: { public: false } }',
      'routes: { /a: { scope: "a\\"b" } }',
    ])
      expect(told(text)).toMatch(/line \d/)
    expect(JSON.parse(told('routes: { /a: {} }\npreflight: true'))).toEqual({ routes: { '/a': {} }, preflight: true })
  })

  it('is documented with the files that the tests use', () => {
    const at = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
    const files = readdirSync(new URL('../examples/gateway/', import.meta.url))
    expect(files.length).toBeGreaterThanOrEqual(6)
    for (const name of files) expect(at('docs/gateway.md')).toContain(`\n${at(`examples/gateway/${name}`)}\`\`\``)
  })
})
