import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SETTING_NAMES } from '@caegis/server'
import { afterAll, describe, expect, it } from 'vitest'
import { readConfigFile } from '../src/config-file.ts'
import { createProgram } from '../src/program.ts'

const folder = mkdtempSync(join(tmpdir(), 'caegis-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

const read = (text: string) => {
  const file = join(folder, 'caegis.env')
  writeFileSync(file, text)
  return readConfigFile(file, SETTING_NAMES)
}

describe('a file of settings', () => {
  it('is lines of NAME=value, comments and nothing, and quotes may hold several', () => {
    const text = '# ours\r\n\r\nCAEGIS_PORT=9446\n  export CAEGIS_LOG = "warn" # less\nNATS_CREDS="-----BEGIN\nCAEGIS_PROT\n-----END"\nCAEGIS_HOST=\n'
    expect(read(text)).toEqual({ CAEGIS_PORT: '9446', CAEGIS_LOG: 'warn', NATS_CREDS: '-----BEGIN\nCAEGIS_PROT\n-----END', CAEGIS_HOST: '' })
  })

  it.each([
    ['CAEGIS_LOG=warn\nCAEGIS_PORT 9446', /caegis\.env line 2: CAEGIS_PORT needs a "=" before its value\.$/],
    ['CAEGIS_LOG=warn\n\nCAEGIS_PORT: 9446', /line 3: it is neither NAME=value nor a comment/],
    ['hunter2-hunter2', /line 1: (?!.*hunter2)/],
    ['CAEGIS_PROT=9446', /line 1: CAEGIS_PROT is no setting; "caegis serve --help" names them all\.$/],
    ['# a\nTYPO=1', /line 2: TYPO is no setting/],
    ['NATS_CREDS="-----BEGIN\nCAEGIS_PORT=1', /line 1: the " of NATS_CREDS has no end/],
  ])('is refused where something of it would be passed over: %j', (text, message) => {
    expect(() => read(text)).toThrow(expect.objectContaining({ code: 'invalid_settings', message: expect.stringMatching(message) }))
  })
})

describe('caegis serve --help', () => {
  it('names every setting that the server reads', () => {
    const texts: string[] = []
    const serve = createProgram().commands.find((one) => one.name() === 'serve')
    serve?.configureOutput({ writeOut: (text) => void texts.push(text) }).outputHelp()
    expect(SETTING_NAMES.filter((name) => !new RegExp(`\\b${name}\\b`).test(texts.join('')))).toEqual([])
  })
})
