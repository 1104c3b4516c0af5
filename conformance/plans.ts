import type { Profile } from './config.ts'
import {
  createDelete,
  type ReceiverModule,
  happyPath as receiverHappyPath,
  caepInterop as receiverInterop,
  statusUpdate,
  supportedEvents,
  unsolicitedVerification,
  verification,
} from './receiver/modules.ts'
import { caepInterop } from './transmitter/caep-interop.ts'
import { metadataModule } from './transmitter/metadata.ts'
import type { TransmitterModule } from './transmitter/session.ts'
import { happyPath } from './transmitter/stream-control.ts'
import { AFTER_CHANGE_ERRORS, BEFORE_CHANGE_ERRORS, CHANGE_ERRORS } from './transmitter/stream-errors.ts'
import { subjectControl } from './transmitter/subjects.ts'
import {
  verificationAckOnly,
  verificationPollAndAck,
  verificationPollOnly,
  verificationPush,
  verificationPushNoAuth,
} from './transmitter/verification.ts'

const VERIFICATION = [verificationPush, verificationPushNoAuth, verificationPollOnly, verificationPollAndAck, verificationAckOnly]

/** The transmitter plans, in order; the second one is for the CAEP interoperability profile. */
export const TRANSMITTER_PLANS: Record<'transmitter' | 'caep-transmitter', { profile: Profile | undefined; modules: TransmitterModule[] }> = {
  transmitter: {
    profile: undefined,
    modules: [
      ...[metadataModule, happyPath],
      ...[...BEFORE_CHANGE_ERRORS, ...CHANGE_ERRORS, ...AFTER_CHANGE_ERRORS],
      ...[subjectControl, ...VERIFICATION],
    ],
  },
  'caep-transmitter': {
    profile: 'caep_interop',
    modules: [metadataModule, happyPath, ...BEFORE_CHANGE_ERRORS, ...AFTER_CHANGE_ERRORS, ...VERIFICATION, caepInterop],
  },
}

/** The receiver plans, in order. */
export const RECEIVER_PLANS: Record<'receiver' | 'caep-receiver', { profile: Profile; modules: ReceiverModule[] }> = {
  receiver: {
    profile: 'default',
    modules: [receiverHappyPath, createDelete, statusUpdate, verification, unsolicitedVerification, supportedEvents],
  },
  'caep-receiver': {
    profile: 'caep_interop',
    modules: [createDelete, verification, unsolicitedVerification, supportedEvents, receiverInterop],
  },
}

/** Every module once, by its name in the plans. */
export const MODULE_NAMES: readonly string[] = [
  ...new Set([...Object.values(TRANSMITTER_PLANS), ...Object.values(RECEIVER_PLANS)].flatMap(({ modules }) => modules.map(({ name }) => name))),
]
