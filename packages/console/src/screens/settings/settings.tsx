import { ScrollArea, Tabs } from '@mantine/core'
import { useEffect, useRef } from 'react'
import { useLocation, useParams } from 'wouter'
import { Page } from '../../parts/page.tsx'
import { type TextKey, t } from '../../texts/texts.ts'
import { Detections } from './detections.tsx'
import { EmergencyStop } from './emergency-stop.tsx'
import { Provisioning } from './provisioning.tsx'
import { SigningKeys } from './signing-keys.tsx'
import { TenantSettings } from './tenant-settings.tsx'
import { Upstreams } from './upstreams.tsx'

const TABS = [
  ['tenant', TenantSettings],
  ['keys', SigningKeys],
  ['upstreams', Upstreams],
  ['provisioning', Provisioning],
  ['detections', Detections],
  ['stop', EmergencyStop],
] as const

/** The tenant as a whole. Each part has an address of its own. */
export function Settings() {
  const { tab = 'tenant' } = useParams<{ tab?: string }>()
  const [, go] = useLocation()
  const tabs = useRef<HTMLDivElement>(null)
  // On a narrow screen it may lie beside what is seen.
  // biome-ignore lint/correctness/useExhaustiveDependencies: another tab is another place
  useEffect(() => {
    // Newer browsers answer with a promise, which is no way to clean up.
    void tabs.current?.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
  }, [tab])
  const [, Shown] = TABS.find(([name]) => name === tab) ?? TABS[0]
  return (
    <Page title={t('settings.title')}>
      <Tabs
        value={tab}
        onChange={(next) => go(next === 'tenant' ? '/settings' : `/settings/${next}`)}
        keepMounted={false}
        activateTabWithKeyboard={false}
      >
        <ScrollArea type="never" mb="md">
          <Tabs.List ref={tabs} style={{ flexWrap: 'nowrap' }} aria-label={t('settings.title')}>
            {TABS.map(([name]) => (
              <Tabs.Tab key={name} value={name} style={{ whiteSpace: 'nowrap' }}>
                {t(`settings.tabs.${name}` as TextKey)}
              </Tabs.Tab>
            ))}
          </Tabs.List>
        </ScrollArea>
        <Tabs.Panel value={tab}>
          <Shown />
        </Tabs.Panel>
      </Tabs>
    </Page>
  )
}
