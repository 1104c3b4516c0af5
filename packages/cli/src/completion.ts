import type { Argument, Command, Option } from 'commander'

/** What may follow somewhere on the command line. */
export type Takes = 'text' | 'file' | 'folder' | readonly string[]

/** A command, or the group of some, as shells complete it. */
export interface Place {
  /** ` user disable`; empty for the command itself. */
  path: string
  commands: { name: string; about: string }[]
  options: { names: string[]; about: string; takes?: Takes }[]
  /** What its first argument is. */
  takes: Takes
}

/** Every place of a program, read from the program itself. */
export function placesOf(program: Command, path = ''): Place[] {
  const help = program.createHelp()
  const below = help.visibleCommands(program)
  return [
    {
      path,
      commands: below.flatMap((one) => [one.name(), ...one.aliases()].map((name) => ({ name, about: firstSentence(one.description()) }))),
      options: help.visibleOptions(program).map(describe),
      takes: takenBy(help.visibleArguments(program)[0] ?? program.registeredArguments[0]),
    },
    ...below
      .filter((one) => one.name() !== 'help')
      .flatMap((one) => [one.name(), ...one.aliases()].flatMap((name) => placesOf(one, `${path} ${name}`))),
  ]
}

function describe({ short, long, flags, description, required, optional, argChoices }: Option): Place['options'][number] {
  const names = [short, long].filter((one): one is string => one != null)
  return {
    names,
    about: firstSentence(description),
    ...(required || optional ? { takes: argChoices ?? takenOf(flags.match(/[<[]([^>\]]+)[>\]]/)?.[1]) } : {}),
  }
}

function takenBy(argument: Argument | undefined): Takes {
  return takenOf(argument?.name())
}

/** `<on|off>` names what there is; `<file>` and `<folder>` are looked up; anything else only its writer knows. */
function takenOf(name = ''): Takes {
  if (name.includes('|')) return name.split('|')
  return name === 'file' || name === 'folder' ? name : name === 'cases' ? 'file' : 'text'
}

const firstSentence = (text: string) => text.split(/[.:;](?: |$)|\n/)[0] as string

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

/** A script that completes the command in a shell. It asks nobody: what there is stands in it. */
export function completionFor(shell: Shell, program: Command): string {
  const places = placesOf(program)
  return { bash, zsh, fish }[shell](places)
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`
/** Patterns of all commands below the first: by them a shell finds out where it stands. */
const known = (places: readonly Place[]) =>
  places
    .slice(1)
    .map(({ path }) => quoted(path))
    .join(' | ')

/** Options that take something, by what they take. */
function takers(places: readonly Place[]): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const { path, options } of places)
    for (const { names, takes } of options)
      if (takes !== undefined) {
        const key = typeof takes === 'string' ? takes : takes.join(' ')
        found.set(key, [...(found.get(key) ?? []), ...names.map((name) => quoted(`${path} ${name}`))])
      }
  return found
}

function bash(places: readonly Place[]): string {
  const compgen = (flag: string) => `compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen ${flag} -- "$current"))`
  const answer = (takes: string) =>
    takes === 'text'
      ? ':'
      : takes === 'file'
        ? compgen('-f')
        : takes === 'folder'
          ? compgen('-d')
          : `COMPREPLY=($(compgen -W $'${takes.replaceAll(' ', '\\n')}' -- "$current"))`
  return `# Completion of caegis for bash. In ~/.bashrc: source <(caegis completion bash)
_caegis() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD - 1]}" at='' i IFS=$'\\n'
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at \${COMP_WORDS[i]}" in
      ${known(places)}) at="$at \${COMP_WORDS[i]}" ;;
    esac
  done
  case "$at $previous" in
${[...takers(places)].map(([takes, patterns]) => `    ${patterns.join(' | ')})\n      ${answer(takes)}\n      return ;;\n`).join('')}  esac
  case "$at" in
${places
  .map(({ path, commands, options, takes }) => {
    const flags = options.flatMap(({ names }) => names)
    const first = commands.length > 0 ? commands.map(({ name }) => name) : takes
    return `    ${quoted(path)})
      if [[ $current == -* ]]; then ${answer(flags.join(' '))}; else ${answer(typeof first === 'string' ? first : first.join(' '))}; fi ;;\n`
  })
  .join('')}  esac
}
complete -F _caegis caegis
`
}

function zsh(places: readonly Place[]): string {
  const answer = (takes: string) =>
    takes === 'text' ? '_message value' : takes === 'file' ? '_files' : takes === 'folder' ? '_files -/' : `compadd -- ${takes}`
  const told = (name: string, about: string) => quoted(`${name}:${about.replaceAll(':', ' ')}`)
  return `#compdef caegis
# Completion of caegis for zsh. In ~/.zshrc, after compinit: source <(caegis completion zsh)
_caegis() {
  local current="\${words[CURRENT]}" previous="\${words[CURRENT-1]}" at='' i
  local -a found
  for ((i = 2; i < CURRENT; i++)); do
    case "$at \${words[i]}" in
      ${known(places)}) at="$at \${words[i]}" ;;
    esac
  done
  case "$at $previous" in
${[...takers(places)].map(([takes, patterns]) => `    ${patterns.join(' | ')}) ${answer(takes)}; return ;;\n`).join('')}  esac
  case "$at" in
${places
  .map(({ path, commands, options, takes }) => {
    const flags = options.flatMap(({ names, about }) => names.map((name) => told(name, about)))
    const first =
      commands.length > 0
        ? `found=(${commands.map(({ name, about }) => told(name, about)).join(' ')}); _describe command found`
        : answer(typeof takes === 'string' ? takes : takes.join(' '))
    return `    ${quoted(path)})
      if [[ $current == -* ]]; then found=(${flags.join(' ')}); _describe option found; else ${first}; fi ;;\n`
  })
  .join('')}  esac
}
if [[ "\${funcstack[1]}" == _caegis ]]; then _caegis "$@"; else compdef _caegis caegis; fi
`
}

function fish(places: readonly Place[]): string {
  const text = (given: string) => `'${given.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
  const answer = (takes: Takes) =>
    takes === 'file'
      ? '-r -F'
      : takes === 'folder'
        ? "-x -a '(__fish_complete_directories)'"
        : takes === 'text'
          ? '-x'
          : `-x -a ${text(takes.join(' '))}`
  const lines = places.flatMap(({ path, commands, options, takes }) => {
    const here = `complete -c caegis -n "__caegis_at '${path}'"`
    return [
      ...commands.map(({ name, about }) => `${here} -a ${name} -d ${text(about)}`),
      ...(commands.length === 0 && takes !== 'text'
        ? [takes === 'file' || takes === 'folder' ? `${here} -F` : `${here} -a ${text(takes.join(' '))}`]
        : []),
      ...options.map(({ names, about, takes: of }) => {
        const flags = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`)).join(' ')
        return `${here} ${flags}${of === undefined ? '' : ` ${answer(of)}`} -d ${text(about)}`
      }),
    ]
  })
  return `# Completion of caegis for fish. In config.fish: caegis completion fish | source
function __caegis_at
    set -l at ''
    for word in (commandline -opc)[2..-1]
        switch "$at $word"
            case ${places
              .slice(1)
              .map(({ path }) => text(path))
              .join(' ')}
                set at "$at $word"
        end
    end
    test "$at" = "$argv[1]"
end
complete -c caegis -f
${lines.join('\n')}
`
}
