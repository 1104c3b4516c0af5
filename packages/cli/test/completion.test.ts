import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { completionFor, placesOf, SHELLS } from '../src/completion.ts'
import { createProgram } from '../src/program.ts'

const folder = mkdtempSync(join(tmpdir(), 'caegis-completion-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const program = createProgram()
const has = (shell: string) => spawnSync(shell, ['--version']).status === 0
const script = (shell: (typeof SHELLS)[number]) => {
  const file = join(folder, `caegis.${shell}`)
  writeFileSync(file, completionFor(shell, program))
  return file
}

/** What bash offers for the last of these words, by the function that `complete` has registered. */
function offered(...words: string[]): string[] {
  const asked = `source "$1"; shift
    [[ $(complete -p caegis) =~ -F\\ ([a-z_]+) ]] || exit 9
    COMP_WORDS=(caegis "$@"); COMP_CWORD=$#; \${BASH_REMATCH[1]}
    printf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout, stderr, status } = spawnSync('bash', ['--norc', '-c', asked, 'bash', script('bash'), ...words], { cwd: folder, encoding: 'utf8' })
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  return stdout.split('\n').filter((one) => one !== '')
}

describe('completion', () => {
  it('offers every command and every option of the program, and nothing else (bash)', () => {
    const places = placesOf(program)
    expect(places.length).toBeGreaterThan(30)
    // One process for all: a hundred shells would take longer than they show.
    const asked = places.flatMap(({ path }) => [`${path} `, `${path} --`])
    const loop = `source "$1"; shift
      for one in "$@"; do
        read -ra COMP_WORDS <<< "caegis $one"; [[ $one == *' ' ]] && COMP_WORDS+=('')
        COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _caegis; echo "\${COMPREPLY[*]}"
      done`
    const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', loop, 'bash', script('bash'), ...asked], { cwd: folder, encoding: 'utf8' })
    expect(stderr).toBe('')
    const answers = stdout.split('\n')
    for (const [at, { path, commands, options, takes }] of places.entries()) {
      const long = options.flatMap(({ names }) => names.filter((name) => name.startsWith('--')))
      expect(answers[at * 2 + 1]?.split(' '), path).toEqual(long)
      if (commands.length > 0) expect(answers[at * 2]?.split(' '), path).toEqual(commands.map(({ name }) => name))
      else if (takes === 'text') expect(answers[at * 2], path).toBe('')
    }
  })

  it('knows where it stands, what an option takes, and leaves free texts alone (bash)', () => {
    expect(offered('us')).toEqual(['user'])
    expect(offered('user', 'dis')).toEqual(['disable'])
    expect(offered('gateway', '--staleness', '')).toEqual(['best-effort', 'strict'])
    expect(offered('gateway', '--staleness', 'strict', '--metr')).toEqual(['--metrics'])
    expect(offered('completion', '')).toEqual([...SHELLS])
    expect(offered('login', '--tenant', '')).toEqual([])
    // A value that is called like a command is none.
    expect(offered('login', '--tenant', 'user', '--or')).toEqual(['--origin'])
    writeFileSync(join(folder, 'with space.yaml'), '')
    expect(offered('serve', '--import', 'with')).toEqual(['with space.yaml'])
    expect(offered('policy', 'test', 'with')).toEqual(['with space.yaml'])
    expect(offered('serve', '--data', 'with')).toEqual([])
  })

  it('completes what somebody types, in a bash of their own', () => {
    const typed = `source '${script('bash')}'\ncaegis() { echo "ran: $*"; }\ncaegis user disab\t alice\nexit\n`
    const terminal = spawnSync('script', ['-qec', 'bash --norc --noprofile -i', '/dev/null'], { input: typed, encoding: 'utf8' })
    if (terminal.error) return
    expect(terminal.stdout).toContain('ran: user disable alice')
  })

  for (const shell of ['zsh', 'fish'] as const) {
    const here = has(shell)
    it.skipIf(!here && !process.env.CI)(`is read by ${shell} without complaint (${here ? 'it is here' : 'skipped: this machine has none'})`, () => {
      const { status, stderr } = spawnSync(shell, ['-n', script(shell)], { encoding: 'utf8' })
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    })
  }

  it('quotes what it says, for every shell', () => {
    for (const shell of SHELLS) {
      const text = completionFor(shell, program)
      expect(text).toContain('what-if')
      // The tenant's keys and a user's sessions have an apostrophe in their descriptions.
      if (shell === 'zsh') expect(text).toContain(`tenant'\\''s signing keys`)
      if (shell === 'fish') expect(text).toContain(`tenant\\'s signing keys`)
    }
  })
})
