#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { ConcordatError } from '../base/index.ts'
import { addBackupCommand } from './backup-command.ts'
import { addDemoCommand } from './demo-command.ts'
import { addDoctorCommand } from './doctor-command.ts'
import { addGuardCommand } from './guard-command.ts'
import { addInDoubtCommand } from './in-doubt-command.ts'
import { addListCommand } from './list-command.ts'
import { addMembersCommand } from './members-command.ts'
import { addOutcomeCommand } from './outcome-command.ts'
import { ExitCode, printError, printJsonError } from './output.ts'
import { addParticipantCommand } from './participant-command.ts'
import { addRecoverCommand } from './recover-command.ts'
import { addRestoreCommand } from './restore-command.ts'
import { addServeCommand } from './serve-command.ts'
import { addSettleCommand } from './settle-command.ts'
import { addStatusCommand } from './status-command.ts'
import { addTransferCommand } from './transfer-command.ts'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

const program = new Command('concordat')
  .description('One transaction over many databases and services: all of it happens, or none of it.')
  .version(version)
  .showHelpAfterError('(concordat COMMAND --help says more)')
  .exitOverride()

addServeCommand(program)
addParticipantCommand(program)
addStatusCommand(program)
addOutcomeCommand(program)
addListCommand(program)
addInDoubtCommand(program)
addSettleCommand(program)
addMembersCommand(program)
addTransferCommand(program)
addBackupCommand(program)
addRestoreCommand(program)
addRecoverCommand(program)
addGuardCommand(program)
addDoctorCommand(program)
addDemoCommand(program)

/** Codes that say that the call itself is wrong. */
const WRONG_CALLS: ReadonlySet<string> = new Set([
  'CONFIG_INVALID',
  'MALFORMED_ID',
  'REASON_MISSING',
  'NOT_CONFIRMED',
  'PATH_UNUSABLE',
  'SETTLE_CALL_INVALID',
  'SETTLE_AGAINST_DECISION',
  'SETTLE_NO_DECISION',
])

/** Codes that say that nobody could be asked. */
const UNAVAILABLE: ReadonlySet<string> = new Set([
  'COORDINATOR_UNAVAILABLE',
  'COORDINATOR_UNREACHABLE',
  'KV_UNAVAILABLE',
])

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = exitCodeOf(error)
  // The command itself is of no help here: the mistake may be in its flags.
  if (process.exitCode !== ExitCode.ok && process.argv.includes('--json')) printJsonError(error)
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage
  printError(error)
  if (!(error instanceof ConcordatError)) return ExitCode.failed
  if (WRONG_CALLS.has(error.code)) return ExitCode.usage
  return UNAVAILABLE.has(error.code) ? ExitCode.unavailable : ExitCode.failed
}
