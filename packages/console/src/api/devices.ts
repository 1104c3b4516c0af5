import { useQuery } from '@tanstack/react-query'
import type { Page } from './client.ts'
import { useApi } from './context.ts'

export interface Device {
  id: string
  displayName: string
  accountEnabled: boolean
  isCompliant: boolean | null
  trustType: string
  owner: string | null
  ownerDisplayName: string | null
  registeredFrom: string | null
  createdDateTime: string
  approximateLastSignInDateTime: string | null
}

export interface DeviceUser {
  id: string
  displayName: string
  userPrincipalName: string
  lastUsedDateTime: string | null
}

export const devicePath = (id: string) => `/devices/${encodeURIComponent(id)}`

export function useDevice(id: string) {
  const api = useApi()
  return useQuery({ queryKey: ['devices', 'one', id], queryFn: ({ signal }) => api.get<Device>(devicePath(id), { signal }) })
}

export function useDeviceUsers(id: string) {
  const api = useApi()
  return useQuery({
    queryKey: ['devices', 'users', id],
    queryFn: ({ signal }) => api.get<Page<DeviceUser>>(`${devicePath(id)}/registeredUsers`, { signal }),
  })
}
