import { Command } from 'commander'
import { addApply } from './commands/apply.ts'
import { addBackup } from './commands/backup.ts'
import { addCompletion } from './commands/completion.ts'
import { addDemo } from './commands/demo.ts'
import { addDevice } from './commands/device.ts'
import { addDoctor } from './commands/doctor.ts'
import { addEvents } from './commands/events.ts'
import { addGateway } from './commands/gateway.ts'
import { addKeys } from './commands/keys.ts'
import { addLogin } from './commands/login.ts'
import { addLogs } from './commands/logs.ts'
import { addMigrate } from './commands/migrate.ts'
import { addOrganization } from './commands/organization.ts'
import { addPolicy } from './commands/policy.ts'
import { addRecover } from './commands/recover.ts'
import { addServe } from './commands/serve.ts'
import { addSession } from './commands/session.ts'
import { addStream } from './commands/stream.ts'
import { addSync } from './commands/sync.ts'
import { addTenant } from './commands/tenant.ts'
import { addToken } from './commands/token.ts'
import { addUpstream } from './commands/upstream.ts'
import { addUser } from './commands/user.ts'
import { takeDashed } from './dashed.ts'

/** The whole command: what there is is told by `--help`, completed by shells and checked in docs/cli.md from here. */
export function createProgram(): Command {
  const program = new Command('caegis')
    .description('Open continuous access evaluation: an access token can be taken back, in any API, within milliseconds.')
    .version('0.1.0')
    .showHelpAfterError('(run with --help for what there is)')
    // Every command inherits it: what became of the command line is one number, chosen in one place.
    .exitOverride()
  addServe(program)
  addDemo(program)
  addLogin(program)
  addTenant(program)
  addDoctor(program)
  addApply(program)
  addUser(program)
  addSession(program)
  addToken(program)
  addDevice(program)
  addPolicy(program)
  addStream(program)
  addEvents(program)
  addGateway(program)
  addUpstream(program)
  addOrganization(program)
  addKeys(program)
  addLogs(program)
  addRecover(program)
  addBackup(program)
  addMigrate(program)
  addSync(program)
  addCompletion(program)
  return takeDashed(program)
}
