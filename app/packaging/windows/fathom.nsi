; The installer for Windows, compiled by installer.py (NSIS 3.08 or newer). See docs/packaging.md.
;
; Given by installer.py: VERSION, VERSION_NUMBERS (a.b.c.d), SIZE_KB, FILES (the generated list of files),
; ICON and OUT; perhaps TARGET (amd64-unicode where this NSIS has it) and SIGN (a command that signs a file).
;
;   fathom-VERSION-windows-x86_64.exe [/S] [/ALLUSERS] [/DOWNGRADE] [/D=FOLDER]
;   uninstall.exe [/S] [/DELETEDATA]
;
; Exit codes: 0 done, 1 cancelled, 2 failed and everything as before, 3 Fathom is running, 4 this Windows
; cannot run it, 5 too little space, 6 a newer version is there, 7 /ALLUSERS without administrator's rights.

Unicode true
!ifdef TARGET
  Target ${TARGET}
!endif
!ifdef SIGN
  !finalize '${SIGN} "%1"'
  !uninstfinalize '${SIGN} "%1"'
!endif
; One stream: the smallest file. The moment of the build is in no file: two builds are the same.
SetCompressor /SOLID lzma
SetCompressorDictSize 32
SetDateSave off
ManifestDPIAware true
ManifestLongPathAware true
ManifestSupportedOS all
; Nobody is asked for an administrator's password: the program is this user's.
RequestExecutionLevel user
; A file that cannot be written ends the installation, and .onInstFailed brings the old version back.
AllowSkipFiles off
ShowInstDetails nevershow
ShowUninstDetails nevershow

Name "Fathom"
BrandingText "Fathom ${VERSION}"
OutFile "${OUT}"
VIProductVersion "${VERSION_NUMBERS}"
VIFileVersion "${VERSION_NUMBERS}"
VIAddVersionKey "ProductName" "Fathom"
VIAddVersionKey "CompanyName" "Fathom"
VIAddVersionKey "FileDescription" "Fathom installer"
VIAddVersionKey "FileVersion" "${VERSION}"
VIAddVersionKey "ProductVersion" "${VERSION}"
VIAddVersionKey "LegalCopyright" "The authors of Fathom"

!include "MUI2.nsh"
!include "FileFunc.nsh"
!include "LogicLib.nsh"
!include "WinVer.nsh"
!include "WordFunc.nsh"
!include "x64.nsh"
!include "${FILES}"

!define UNINSTALL_KEY "Software\Microsoft\Windows\CurrentVersion\Uninstall\Fathom"
!define APP_PATH_KEY "Software\Microsoft\Windows\CurrentVersion\App Paths\fathom.exe"
!define CAPABILITIES_KEY "Software\Fathom\Capabilities"
!define CLASSES "Software\Classes"
!define PROG_ID "Fathom.gguf"
; Qt 6 needs Windows 10, version 1809.
!define OLDEST_BUILD 17763
!define REPARSE_POINT 0x400

!define MUI_ICON "${ICON}"
!define MUI_UNICON "${ICON}"
!define MUI_ABORTWARNING
!define MUI_FINISHPAGE_RUN "$INSTDIR\fathom.exe"
!define MUI_FINISHPAGE_RUN_TEXT "Start Fathom"

!define MUI_PAGE_CUSTOMFUNCTION_PRE SkipWhenUpgrading
!define MUI_PAGE_CUSTOMFUNCTION_LEAVE OwnFolder
!insertmacro MUI_PAGE_DIRECTORY
!insertmacro MUI_PAGE_INSTFILES
!insertmacro MUI_PAGE_FINISH
UninstPage custom un.AskForData un.TakeAnswer
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE "English"

Var AllUsers ; 1: /ALLUSERS
Var OldFolder ; where a version is installed that this one follows, or empty
Var OldVersion
Var Aside ; 1: the old version's files are renamed, the new ones not all there
Var DeleteData ; 1: the user's files go too
Var DataBox

; ---------------------------------------------------------------- what installer and uninstaller share

!macro Shared un
; Say $R0 and end with exit code $R1.
Function ${un}Refuse
  MessageBox MB_OK|MB_ICONSTOP "$R0" /SD IDOK
  SetErrorLevel $R1
  Quit
FunctionEnd

; Every value of the registry under the 64-bit view, and the folders of one user or of all.
Function ${un}ChooseUsers
  SetRegView 64
  ${If} $AllUsers == 1
    UserInfo::GetAccountType
    Pop $0
    ${If} $0 != "Admin"
      StrCpy $R0 "Installing or removing Fathom for all users needs an administrator's rights."
      StrCpy $R1 7
      Call ${un}Refuse
    ${EndIf}
    SetShellVarContext all
  ${Else}
    SetShellVarContext current
  ${EndIf}
FunctionEnd

; Set $R0 to 1 when a program of $INSTDIR runs: Windows lets nobody write to it then.
Function ${un}LooksRunning
  StrCpy $R0 0
  ${ForEach} $0 1 2 + 1
    StrCpy $1 "$INSTDIR\fathom.exe"
    ${If} $0 == 2
      StrCpy $1 "$INSTDIR\fathom-cli.exe"
    ${EndIf}
    ${If} ${FileExists} "$1"
      ClearErrors
      FileOpen $2 "$1" a
      ${If} ${Errors}
        StrCpy $R0 1
      ${Else}
        FileClose $2
      ${EndIf}
    ${EndIf}
  ${Next}
  ClearErrors
FunctionEnd

; Wait until the user has closed Fathom; end when nobody can be asked.
Function ${un}WaitUntilClosed
  ${Do}
    Call ${un}LooksRunning
    ${If} $R0 == 0
      ${Break}
    ${EndIf}
    MessageBox MB_RETRYCANCEL|MB_ICONEXCLAMATION \
      "Fathom is running. Close its windows and commands, then press Retry." /SD IDCANCEL IDRETRY +3
    SetErrorLevel 3
    Quit
  ${Loop}
FunctionEnd

; Remove the folder $R0 and all in it. RMDir /r might follow a junction to another drive, where a user
; keeps checkpoints; here a junction or link is removed and what it points to stays.
Function ${un}RemoveTree
  Push $0
  Push $1
  Push $2
  Push $3
  StrCpy $0 $R0
  FindFirst $1 $2 "$0\*"
  ${DoUntil} $2 == ""
    ${If} $2 != "."
    ${AndIf} $2 != ".."
      System::Call 'kernel32::GetFileAttributesW(w "$0\$2") i .r3'
      IntOp $R1 $3 & 0x10
      IntOp $3 $3 & ${REPARSE_POINT}
      ${If} $R1 = 0
        Delete "$0\$2"
      ${ElseIf} $3 <> 0
        RMDir "$0\$2"
      ${Else}
        StrCpy $R0 "$0\$2"
        Call ${un}RemoveTree
      ${EndIf}
    ${EndIf}
    FindNext $1 $2
  ${Loop}
  FindClose $1
  RMDir "$0"
  Pop $3
  Pop $2
  Pop $1
  Pop $0
FunctionEnd
!macroend
!insertmacro Shared ""
!insertmacro Shared "un."

!macro TellShell
  ; SHCNE_ASSOCCHANGED: the Explorer shows icons and programs anew.
  System::Call 'shell32::SHChangeNotify(i 0x08000000, i 0, p 0, p 0)'
!macroend

; ---------------------------------------------------------------- installing

Function .onInit
  ${IfNot} ${RunningX64}
  ${OrIfNot} ${AtLeastBuild} ${OLDEST_BUILD}
    StrCpy $R0 "Fathom needs a 64-bit Windows 10, version 1809, or newer."
    StrCpy $R1 4
    Call Refuse
  ${EndIf}
  ${GetParameters} $9
  ClearErrors
  ${GetOptions} $9 "/ALLUSERS" $0
  ${IfNot} ${Errors}
    StrCpy $AllUsers 1
  ${EndIf}
  Call ChooseUsers
  Call FindOldVersion
  ${If} $INSTDIR == ""
    StrCpy $INSTDIR $OldFolder
  ${EndIf}
  ${If} $INSTDIR == ""
    StrCpy $INSTDIR "$LOCALAPPDATA\Programs\Fathom"
    ${If} $AllUsers == 1
      StrCpy $INSTDIR "$PROGRAMFILES64\Fathom"
    ${EndIf}
  ${EndIf}
  Call OwnFolder
  Call RefuseOlder
  ${If} ${Silent}
    Call WaitUntilClosed
    Call RefuseWithoutSpace
  ${EndIf}
FunctionEnd

Function FindOldVersion
  ReadRegStr $OldFolder SHCTX "${UNINSTALL_KEY}" "InstallLocation"
  ReadRegStr $OldVersion SHCTX "${UNINSTALL_KEY}" "DisplayVersion"
  ${IfNot} ${FileExists} "$OldFolder\uninstall.exe"
    StrCpy $OldFolder ""
    StrCpy $OldVersion ""
  ${EndIf}
FunctionEnd

; A folder that holds other things is not ours: a folder in it is.
Function OwnFolder
  ${IfNot} ${FileExists} "$INSTDIR\fathom.exe"
    ${DirState} "$INSTDIR" $0
    ${If} $0 == 1
      StrCpy $INSTDIR "$INSTDIR\Fathom"
    ${EndIf}
  ${EndIf}
FunctionEnd

Function RefuseOlder
  ${If} $OldVersion == ""
    Return
  ${EndIf}
  ${VersionCompare} $OldVersion "${VERSION}" $0
  ${If} $0 != 1
    Return
  ${EndIf}
  ClearErrors
  ${GetOptions} $9 "/DOWNGRADE" $1
  ${IfNot} ${Errors}
    Return
  ${EndIf}
  MessageBox MB_YESNO|MB_ICONQUESTION|MB_DEFBUTTON2 \
    "Fathom $OldVersion is installed, which is newer than ${VERSION}. Replace it by the older one?" \
    /SD IDNO IDYES +3
  SetErrorLevel 6
  Quit
FunctionEnd

; The page of the folder refuses by itself; a silent installation shows none.
Function RefuseWithoutSpace
  ${GetRoot} $INSTDIR $0
  ${DriveSpace} "$0\" "/D=F /S=K" $1
  ${If} $1 < ${SIZE_KB}
    StrCpy $R0 "There is too little space on $0: Fathom takes ${SIZE_KB} KB, $1 KB are free."
    StrCpy $R1 5
    Call Refuse
  ${EndIf}
FunctionEnd

Function SkipWhenUpgrading
  ${If} $OldFolder != ""
    Abort
  ${EndIf}
FunctionEnd

Section "Fathom"
  Call WaitUntilClosed
  Call MoveAside
  !insertmacro InstallFiles
  ClearErrors
  WriteUninstaller "$INSTDIR\uninstall.exe"
  ${If} ${Errors}
    Abort
  ${EndIf}
  Call Register
  StrCpy $Aside 0
  Call RemoveAside
  Call RemoveOldFolder
  !insertmacro TellShell
SectionEnd

; The old version's files wait under other names until the new ones are there. A folder whose libraries
; are in use cannot be renamed: nothing has changed then.
Function MoveAside
  Call RemoveAside
  ${IfNot} ${FileExists} "$INSTDIR\fathom.exe"
    Return
  ${EndIf}
  ClearErrors
  Rename "$INSTDIR\fathom.exe" "$INSTDIR\fathom.exe.old"
  Rename "$INSTDIR\fathom-cli.exe" "$INSTDIR\fathom-cli.exe.old"
  Rename "$INSTDIR\_internal" "$INSTDIR\_internal.old"
  ${If} ${Errors}
    Call BringBack
    StrCpy $R0 "The files of the installed Fathom are in use or protected. Nothing was changed."
    StrCpy $R1 3
    Call Refuse
  ${EndIf}
  StrCpy $Aside 1
FunctionEnd

; What was renamed gets its name again; a name that is taken stays with what has it.
Function BringBack
  Rename "$INSTDIR\fathom.exe.old" "$INSTDIR\fathom.exe"
  Rename "$INSTDIR\fathom-cli.exe.old" "$INSTDIR\fathom-cli.exe"
  Rename "$INSTDIR\_internal.old" "$INSTDIR\_internal"
FunctionEnd

Function RemoveAside
  ${If} ${FileExists} "$INSTDIR\_internal.old\*.*"
    StrCpy $R0 "$INSTDIR\_internal.old"
    Call RemoveTree
  ${EndIf}
  Delete "$INSTDIR\fathom.exe.old"
  Delete "$INSTDIR\fathom-cli.exe.old"
FunctionEnd

Function .onInstFailed
  ${If} $Aside == 1
    SetOutPath "$TEMP"
    StrCpy $R0 "$INSTDIR\_internal"
    Call RemoveTree
    Delete "$INSTDIR\fathom.exe"
    Delete "$INSTDIR\fathom-cli.exe"
    Call BringBack
  ${ElseIf} $OldFolder == ""
    SetOutPath "$TEMP"
    !insertmacro RemoveFiles
    Delete "$INSTDIR\uninstall.exe"
    RMDir "$INSTDIR"
  ${EndIf}
  SetErrorLevel 2
FunctionEnd

; The version before lay elsewhere. Its uninstaller sees that start menu and registry are no longer its.
Function RemoveOldFolder
  ${If} $OldFolder != ""
  ${AndIf} $OldFolder != $INSTDIR
    ExecWait '"$OldFolder\uninstall.exe" /S _?=$OldFolder'
    Delete "$OldFolder\uninstall.exe"
    RMDir "$OldFolder"
  ${EndIf}
FunctionEnd

Function Register
  SetOutPath "$INSTDIR"
  CreateShortcut "$SMPROGRAMS\Fathom.lnk" "$INSTDIR\fathom.exe" "" "$INSTDIR\fathom.exe" 0 "" "" \
    "Find, size and run DeepSeek checkpoints on this machine"

  WriteRegStr SHCTX "${UNINSTALL_KEY}" "DisplayName" "Fathom"
  WriteRegStr SHCTX "${UNINSTALL_KEY}" "DisplayVersion" "${VERSION}"
  WriteRegStr SHCTX "${UNINSTALL_KEY}" "Publisher" "Fathom"
  WriteRegStr SHCTX "${UNINSTALL_KEY}" "DisplayIcon" "$INSTDIR\fathom.exe,0"
  WriteRegStr SHCTX "${UNINSTALL_KEY}" "InstallLocation" "$INSTDIR"
  WriteRegStr SHCTX "${UNINSTALL_KEY}" "UninstallString" '"$INSTDIR\uninstall.exe"'
  WriteRegStr SHCTX "${UNINSTALL_KEY}" "QuietUninstallString" '"$INSTDIR\uninstall.exe" /S'
  WriteRegDWORD SHCTX "${UNINSTALL_KEY}" "EstimatedSize" ${SIZE_KB}
  WriteRegDWORD SHCTX "${UNINSTALL_KEY}" "NoModify" 1
  WriteRegDWORD SHCTX "${UNINSTALL_KEY}" "NoRepair" 1

  WriteRegStr SHCTX "${APP_PATH_KEY}" "" "$INSTDIR\fathom.exe"

  WriteRegStr SHCTX "${CLASSES}\${PROG_ID}" "" "GGUF checkpoint"
  WriteRegStr SHCTX "${CLASSES}\${PROG_ID}\DefaultIcon" "" "$INSTDIR\fathom.exe,0"
  WriteRegStr SHCTX "${CLASSES}\${PROG_ID}\shell\open\command" "" '"$INSTDIR\fathom.exe" "%1"'
  WriteRegStr SHCTX "${CLASSES}\Applications\fathom.exe\shell\open\command" "" '"$INSTDIR\fathom.exe" "%1"'
  WriteRegStr SHCTX "${CLASSES}\Applications\fathom.exe\SupportedTypes" ".gguf" ""
  WriteRegStr SHCTX "${CLASSES}\.gguf\OpenWithProgids" "${PROG_ID}" ""
  ; Offered beside others; the one that a double click opens only where there is none.
  ReadRegStr $0 HKCU "${CLASSES}\.gguf" ""
  ReadRegStr $1 HKLM "${CLASSES}\.gguf" ""
  ${If} "$0$1" == ""
    WriteRegStr SHCTX "${CLASSES}\.gguf" "" "${PROG_ID}"
  ${EndIf}

  WriteRegStr SHCTX "${CAPABILITIES_KEY}" "ApplicationName" "Fathom"
  WriteRegStr SHCTX "${CAPABILITIES_KEY}" "ApplicationDescription" \
    "Find, size and run DeepSeek checkpoints on this machine"
  WriteRegStr SHCTX "${CAPABILITIES_KEY}\FileAssociations" ".gguf" "${PROG_ID}"
  WriteRegStr SHCTX "Software\RegisteredApplications" "Fathom" "${CAPABILITIES_KEY}"
FunctionEnd

; ---------------------------------------------------------------- removing

Function un.onInit
  StrCpy $DeleteData 0
  ${GetParameters} $9
  ClearErrors
  ${GetOptions} $9 "/DELETEDATA" $0
  ${IfNot} ${Errors}
    StrCpy $DeleteData 1
  ${EndIf}
  SetRegView 64
  ReadRegStr $0 HKCU "${UNINSTALL_KEY}" "InstallLocation"
  ReadRegStr $1 HKLM "${UNINSTALL_KEY}" "InstallLocation"
  ${If} $1 == $INSTDIR
  ${AndIf} $0 != $INSTDIR
    StrCpy $AllUsers 1
  ${EndIf}
  Call un.ChooseUsers
  Call un.WaitUntilClosed
FunctionEnd

Function un.AskForData
  SetShellVarContext current
  !insertmacro MUI_HEADER_TEXT "Uninstall Fathom" "What you made and downloaded stays, unless you say otherwise."
  nsDialogs::Create 1018
  Pop $0
  ${NSD_CreateLabel} 0 0 100% 36u \
    "Your conversations, your settings and the checkpoints in Fathom's own folder are kept in:$\n\
    $LOCALAPPDATA\Fathom$\n$APPDATA\Fathom"
  Pop $0
  ${NSD_CreateCheckbox} 0 44u 100% 12u "&Delete them too. This cannot be undone."
  Pop $DataBox
  ${NSD_CreateLabel} 0 62u 100% 24u \
    "Checkpoints in folders that you added yourself are never touched."
  Pop $0
  nsDialogs::Show
FunctionEnd

Function un.TakeAnswer
  ${NSD_GetState} $DataBox $0
  ${If} $0 == ${BST_CHECKED}
    StrCpy $DeleteData 1
  ${EndIf}
FunctionEnd

Section "Uninstall"
  Call un.WaitUntilClosed
  SetOutPath "$TEMP"
  !insertmacro RemoveFiles
  StrCpy $R0 "$INSTDIR\_internal.old"
  ${If} ${FileExists} "$R0\*.*"
    Call un.RemoveTree
  ${EndIf}
  Delete "$INSTDIR\fathom.exe.old"
  Delete "$INSTDIR\fathom-cli.exe.old"
  Delete "$INSTDIR\uninstall.exe"
  RMDir "$INSTDIR"
  Call un.Unregister
  ${If} $DeleteData == 1
    SetShellVarContext current
    StrCpy $R0 "$LOCALAPPDATA\Fathom"
    Call un.RemoveTree
    StrCpy $R0 "$APPDATA\Fathom"
    Call un.RemoveTree
  ${EndIf}
  !insertmacro TellShell
SectionEnd

; Start menu and registry may belong to a newer version in another folder by now.
Function un.Unregister
  ${If} $AllUsers == 1
    SetShellVarContext all
  ${Else}
    SetShellVarContext current
  ${EndIf}
  ReadRegStr $0 SHCTX "${UNINSTALL_KEY}" "InstallLocation"
  ${If} $0 != $INSTDIR
    Return
  ${EndIf}
  Delete "$SMPROGRAMS\Fathom.lnk"
  DeleteRegKey SHCTX "${UNINSTALL_KEY}"
  DeleteRegKey SHCTX "${APP_PATH_KEY}"
  DeleteRegKey SHCTX "${CLASSES}\${PROG_ID}"
  DeleteRegKey SHCTX "${CLASSES}\Applications\fathom.exe"
  DeleteRegValue SHCTX "${CLASSES}\.gguf\OpenWithProgids" "${PROG_ID}"
  DeleteRegKey /ifempty SHCTX "${CLASSES}\.gguf\OpenWithProgids"
  ReadRegStr $0 SHCTX "${CLASSES}\.gguf" ""
  ${If} $0 == "${PROG_ID}"
    DeleteRegValue SHCTX "${CLASSES}\.gguf" ""
  ${EndIf}
  DeleteRegKey /ifempty SHCTX "${CLASSES}\.gguf"
  DeleteRegKey SHCTX "${CAPABILITIES_KEY}"
  DeleteRegKey /ifempty SHCTX "Software\Fathom"
  DeleteRegValue SHCTX "Software\RegisteredApplications" "Fathom"
FunctionEnd
