import { type Command, InvalidArgumentError } from 'commander'
import { completionFor, SHELLS, type Shell } from '../completion.ts'

export function addCompletion(program: Command): void {
  program
    .command('completion')
    .description('Print a script by which a shell completes this command: source <(caegis completion bash)')
    .argument(`<${SHELLS.join('|')}>`, 'which shell', (name): Shell => {
      const shell = SHELLS.find((one) => one === name)
      if (!shell) throw new InvalidArgumentError(`must be one of ${SHELLS.join(', ')}`)
      return shell
    })
    .action((shell: Shell) => void process.stdout.write(completionFor(shell, program)))
}
