import { type ComponentType, type LazyExoticComponent, lazy } from 'react'
import type { IconName } from './parts/icon.tsx'
import type { TextKey } from './texts/texts.ts'

type Screen = LazyExoticComponent<ComponentType>

/** Every address of the console under `/console/{tenant}`, and the screen that answers it; each is loaded when somebody goes there. */
export const ROUTES: readonly [path: string, screen: Screen][] = [
  ['/policies', lazy(() => import('./screens/policies/policies.tsx').then((one) => ({ default: one.Policies })))],
  ['/policies/new', lazy(() => import('./screens/policies/editor.tsx').then((one) => ({ default: one.NewPolicy })))],
  ['/policies/:id', lazy(() => import('./screens/policies/editor.tsx').then((one) => ({ default: one.PolicyEditor })))],
  ['/what-if', lazy(() => import('./screens/what-if/screen.tsx').then((one) => ({ default: one.WhatIfScreen })))],
  ['/locations', lazy(() => import('./screens/locations/locations.tsx').then((one) => ({ default: one.Locations })))],
  ['/locations/new', lazy(() => import('./screens/locations/location.tsx').then((one) => ({ default: one.LocationScreen })))],
  ['/locations/:id', lazy(() => import('./screens/locations/location.tsx').then((one) => ({ default: one.LocationScreen })))],
  ['/', lazy(() => import('./screens/overview/overview.tsx').then((one) => ({ default: one.Overview })))],
  ['/sign-ins', lazy(() => import('./screens/sign-ins/sign-ins.tsx').then((one) => ({ default: one.SignIns })))],
  ['/sign-ins/:id', lazy(() => import('./screens/sign-ins/sign-in.tsx').then((one) => ({ default: one.SignInDetail })))],
  ['/users/:id/:tab?', lazy(() => import('./screens/users/user.tsx').then((one) => ({ default: one.UserScreen })))],
  ['/groups', lazy(() => import('./screens/groups/groups.tsx').then((one) => ({ default: one.Groups })))],
  ['/groups/:id/:tab?', lazy(() => import('./screens/groups/group.tsx').then((one) => ({ default: one.GroupScreen })))],
  ['/users', lazy(() => import('./screens/users/users.tsx').then((one) => ({ default: one.Users })))],
  ['/revocations/:txn', lazy(() => import('./screens/proof/proof.tsx').then((one) => ({ default: one.Proof })))],
  ['/applications', lazy(() => import('./screens/applications/applications.tsx').then((one) => ({ default: one.Applications })))],
  ['/applications/:id', lazy(() => import('./screens/applications/application.tsx').then((one) => ({ default: one.Application })))],
  ['/devices', lazy(() => import('./screens/devices/devices.tsx').then((one) => ({ default: one.Devices })))],
  ['/devices/:id', lazy(() => import('./screens/devices/device.tsx').then((one) => ({ default: one.Device })))],
  ['/settings/:tab?', lazy(() => import('./screens/settings/settings.tsx').then((one) => ({ default: one.Settings })))],
  ['/streams', lazy(() => import('./screens/streams/streams.tsx').then((one) => ({ default: one.Streams })))],
  ['/streams/:id', lazy(() => import('./screens/streams/stream.tsx').then((one) => ({ default: one.Stream })))],
]

export interface NavEntry {
  path: string
  label: TextKey
  icon: IconName
}

/** What the navigation shows, in groups. */
export const NAVIGATION: readonly { label?: TextKey; entries: NavEntry[] }[] = [
  { entries: [{ path: '/', label: 'shell.nav.overview', icon: 'overview' }] },
  {
    label: 'shell.nav.directory',
    entries: [
      { path: '/users', label: 'shell.nav.users', icon: 'user' },
      { path: '/groups', label: 'shell.nav.groups', icon: 'group' },
      { path: '/applications', label: 'shell.nav.applications', icon: 'application' },
      { path: '/devices', label: 'shell.nav.devices', icon: 'device' },
    ],
  },
  {
    label: 'shell.nav.access',
    entries: [
      { path: '/policies', label: 'shell.nav.policies', icon: 'policy' },
      { path: '/locations', label: 'shell.nav.locations', icon: 'location' },
      { path: '/what-if', label: 'shell.nav.whatIf', icon: 'question' },
    ],
  },
  {
    label: 'shell.nav.signals',
    entries: [
      { path: '/sign-ins', label: 'shell.nav.signIns', icon: 'signIn' },
      { path: '/streams', label: 'shell.nav.streams', icon: 'stream' },
    ],
  },
  { entries: [{ path: '/settings', label: 'shell.nav.settings', icon: 'settings' }] },
]
