<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="zh_CN" sourcelanguage="en">
<context>
    <name>desktop</name>
    <message>
        <source>photo</source>
        <translation>照片</translation>
    </message>
    <message>
        <source>real</source>
        <translation>受损照片</translation>
    </message>
    <message>
        <source>scan</source>
        <translation>扫描件</translation>
    </message>
    <message>
        <source>old-photo</source>
        <translation>老照片</translation>
    </message>
    <message>
        <source>document</source>
        <translation>文档</translation>
    </message>
    <message>
        <source>low-light</source>
        <translation>弱光</translation>
    </message>
    <message>
        <source>medical-grey</source>
        <translation>医学灰度图</translation>
    </message>
    <message>
        <source>web-image</source>
        <translation>网络图片</translation>
    </message>
    <message>
        <source>archive</source>
        <translation>存档</translation>
    </message>
    <message>
        <source>photographs: 4x; noise, wrong exposure and clear colour casts go, where they are measured</source>
        <translation>照片:放大 4 倍;测到的噪点、曝光错误和明显偏色会被去除</translation>
    </message>
    <message>
        <source>damaged photographs, such as re-saved or noisy ones: 4x; restored and enlarged by one net, the light stays</source>
        <translation>受损照片(反复保存或噪点多):放大 4 倍;由一个网络修复并放大,光线不变</translation>
    </message>
    <message>
        <source>scanned prints and slides: 2x; noise and clear colour casts go, the brightness stays</source>
        <translation>扫描的相纸和幻灯片:放大 2 倍;去除噪点和明显偏色,亮度不变</translation>
    </message>
    <message>
        <source>aged prints: 2x; stronger denoising, faded tones and clear casts mended, local contrast where it is flat</source>
        <translation>老旧相纸:放大 2 倍;降噪更强,修复褪色和明显偏色,平淡处增强局部对比度</translation>
    </message>
    <message>
        <source>text and drawings: 2x; light denoising, soft strokes sharpened, brightness and colours stay</source>
        <translation>文字和图画:放大 2 倍;轻度降噪,锐化模糊笔画,亮度和颜色不变</translation>
    </message>
    <message>
        <source>night and indoor pictures: size kept; denoised, dark ones lifted by up to 5 stops, lamp light evened</source>
        <translation>夜间和室内照片:尺寸不变;降噪,暗部照片最多提亮 5 档,校正灯光偏色</translation>
    </message>
    <message>
        <source>grey diagnostic pictures: size kept; light denoising and nothing else, so that grey values keep their meaning</source>
        <translation>灰度诊断图像:尺寸不变;只做轻度降噪,灰度值保持原意</translation>
    </message>
    <message>
        <source>small pictures from the web: 4x; light denoising, soft edges sharpened, the look that was chosen stays</source>
        <translation>网络小图:放大 4 倍;轻度降噪,锐化模糊边缘,保留原有风格</translation>
    </message>
    <message>
        <source>masters for keeping: size kept; light denoising and impulse repair, nothing else</source>
        <translation>长期保存的母版:尺寸不变;只做轻度降噪和坏点修复</translation>
    </message>
    <message>
        <source>Before and after</source>
        <translation>处理前后对比</translation>
    </message>
    <message>
        <source>Wheel or + and - zoom, 0 fits, arrows move, comma and full stop move the divider</source>
        <translation>滚轮或 + 和 - 缩放,0 适合窗口,方向键移动,逗号和句号移动分隔线</translation>
    </message>
    <message>
        <source>Drop pictures or folders here.
Or choose “Add pictures…” above.</source>
        <translation>将图片或文件夹拖到这里。
或选择上方的“添加图片…”。</translation>
    </message>
    <message>
        <source>What was measured and decided</source>
        <translation>测量与决定</translation>
    </message>
    <message>
        <source>What was measured and decided stands here.</source>
        <translation>这里显示测量与决定的内容。</translation>
    </message>
    <message>
        <source>On the left</source>
        <translation>左侧显示</translation>
    </message>
    <message>
        <source>the original</source>
        <translation>原图</translation>
    </message>
    <message>
        <source>Preview</source>
        <translation>预览</translation>
    </message>
    <message>
        <source>Shows a crop in the middle as the present choices would make it</source>
        <translation>按当前设置显示画面中央一块的效果</translation>
    </message>
    <message>
        <source>Side by side</source>
        <translation>并排</translation>
    </message>
    <message>
        <source>Compare with</source>
        <translation>对比</translation>
    </message>
    <message>
        <source>Opening {name}…</source>
        <translation>正在打开 {name}…</translation>
    </message>
    <message>
        <source>This picture cannot be shown: {reason}</source>
        <translation>无法显示此图片:{reason}</translation>
    </message>
    <message>
        <source>original</source>
        <translation>原图</translation>
    </message>
    <message>
        <source>result</source>
        <translation>结果</translation>
    </message>
    <message>
        <source>preview of your choices</source>
        <translation>当前设置预览</translation>
    </message>
    <message>
        <source>Preview, measured on the crop in the middle:</source>
        <translation>预览,在中央区域测量:</translation>
    </message>
    <message>
        <source>preview: {preset}</source>
        <translation>预览:{preset}</translation>
    </message>
    <message>
        <source>Zoom out</source>
        <translation>缩小</translation>
    </message>
    <message>
        <source>Zoom in</source>
        <translation>放大</translation>
    </message>
    <message>
        <source>Fit</source>
        <translation>适合</translation>
    </message>
    <message>
        <source>Show the whole picture</source>
        <translation>显示整张图片</translation>
    </message>
    <message>
        <source>One pixel of the picture to one of the screen</source>
        <translation>图片一个像素对应屏幕一个像素</translation>
    </message>
    <message>
        <source>No preview: {reason}</source>
        <translation>无法预览:{reason}</translation>
    </message>
    <message>
        <source>waiting</source>
        <translation>等待</translation>
    </message>
    <message>
        <source>working…</source>
        <translation>处理中…</translation>
    </message>
    <message>
        <source>done</source>
        <translation>完成</translation>
    </message>
    <message>
        <source>failed</source>
        <translation>失败</translation>
    </message>
    <message>
        <source>Picture</source>
        <translation>图片</translation>
    </message>
    <message>
        <source>State</source>
        <translation>状态</translation>
    </message>
    <message>
        <source>Result</source>
        <translation>结果</translation>
    </message>
    <message>
        <source>Time</source>
        <translation>用时</translation>
    </message>
    <message>
        <source>Choose a folder</source>
        <translation>选择文件夹</translation>
    </message>
    <message>
        <source>Choose: {name}</source>
        <translation>选择:{name}</translation>
    </message>
    <message>
        <source>Choose a net</source>
        <translation>选择网络文件</translation>
    </message>
    <message>
        <source>Preset</source>
        <translation>预设</translation>
    </message>
    <message>
        <source>Enlarge</source>
        <translation>放大</translation>
    </message>
    <message>
        <source>How many times longer each side becomes</source>
        <translation>每边变为原来的几倍</translation>
    </message>
    <message>
        <source>Denoising</source>
        <translation>降噪</translation>
    </message>
    <message>
        <source>Half is as much as was measured in the picture</source>
        <translation>中间位置等于图片中测得的噪点量</translation>
    </message>
    <message>
        <source>Crispness</source>
        <translation>清晰度</translation>
    </message>
    <message>
        <source>Sharpens edges; too much draws halos around them</source>
        <translation>锐化边缘;过强会出现光晕</translation>
    </message>
    <message>
        <source>Results folder</source>
        <translation>结果文件夹</translation>
    </message>
    <message>
        <source>More choices</source>
        <translation>更多选项</translation>
    </message>
    <message>
        <source>as the picture has it</source>
        <translation>与原图相同</translation>
    </message>
    <message>
        <source>remove position and owner</source>
        <translation>去除位置和所有者</translation>
    </message>
    <message>
        <source>Truth folder</source>
        <translation>参考文件夹</translation>
    </message>
    <message>
        <source>none</source>
        <translation>无</translation>
    </message>
    <message>
        <source>Own net</source>
        <translation>自己的网络</translation>
    </message>
    <message>
        <source>Own denoiser</source>
        <translation>自己的降噪网络</translation>
    </message>
    <message>
        <source>all</source>
        <translation>全部</translation>
    </message>
    <message>
        <source>May hold {name}, {recipe} and {scale}</source>
        <translation>可含 {name}、{recipe} 和 {scale}</translation>
    </message>
    <message>
        <source>Results are scored against the pictures of the same name in this folder</source>
        <translation>结果与此文件夹中同名图片比较评分</translation>
    </message>
    <message>
        <source>Nets</source>
        <translation>网络文件</translation>
    </message>
    <message>
        <source>whatever is there</source>
        <translation>自动</translation>
    </message>
    <message>
        <source>Format</source>
        <translation>格式</translation>
    </message>
    <message>
        <source>Quality</source>
        <translation>质量</translation>
    </message>
    <message>
        <source>Name</source>
        <translation>名称</translation>
    </message>
    <message>
        <source>Privacy</source>
        <translation>隐私</translation>
    </message>
    <message>
        <source>Device</source>
        <translation>设备</translation>
    </message>
    <message>
        <source>Threads</source>
        <translation>线程</translation>
    </message>
    <message>
        <source>size kept</source>
        <translation>尺寸不变</translation>
    </message>
    <message>
        <source>off</source>
        <translation>关</translation>
    </message>
    <message>
        <source>as measured</source>
        <translation>按测量</translation>
    </message>
    <message>
        <source>Main</source>
        <translation>主工具栏</translation>
    </message>
    <message>
        <source>Add pictures…</source>
        <translation>添加图片…</translation>
    </message>
    <message>
        <source>Add folder…</source>
        <translation>添加文件夹…</translation>
    </message>
    <message>
        <source>Start</source>
        <translation>开始</translation>
    </message>
    <message>
        <source>Stop</source>
        <translation>停止</translation>
    </message>
    <message>
        <source>Try again</source>
        <translation>重试</translation>
    </message>
    <message>
        <source>Remove</source>
        <translation>移除</translation>
    </message>
    <message>
        <source>Open results</source>
        <translation>打开结果</translation>
    </message>
    <message>
        <source>Queue of pictures</source>
        <translation>图片队列</translation>
    </message>
    <message>
        <source>Progress</source>
        <translation>进度</translation>
    </message>
    <message>
        <source>&amp;File</source>
        <translation>文件(&amp;F)</translation>
    </message>
    <message>
        <source>Quit</source>
        <translation>退出</translation>
    </message>
    <message>
        <source>&amp;Queue</source>
        <translation>队列(&amp;Q)</translation>
    </message>
    <message>
        <source>&amp;View</source>
        <translation>视图(&amp;V)</translation>
    </message>
    <message>
        <source>the system's</source>
        <translation>跟随系统</translation>
    </message>
    <message>
        <source>light</source>
        <translation>浅色</translation>
    </message>
    <message>
        <source>dark</source>
        <translation>深色</translation>
    </message>
    <message>
        <source>The language changes when the application is opened the next time.</source>
        <translation>语言将在下次打开程序时更改。</translation>
    </message>
    <message>
        <source>Add pictures</source>
        <translation>添加图片</translation>
    </message>
    <message>
        <source>Add folder</source>
        <translation>添加文件夹</translation>
    </message>
    <message>
        <source>Pictures are being enhanced. Stop and close? What is done stays.</source>
        <translation>正在处理图片。停止并关闭吗?已完成的会保留。</translation>
    </message>
    <message>
        <source>Language</source>
        <translation>语言</translation>
    </message>
    <message>
        <source>Appearance</source>
        <translation>外观</translation>
    </message>
    <message>
        <source>The results folder {path} cannot be made: {reason}. Choose another one on the right.</source>
        <translation>无法创建结果文件夹 {path}:{reason}。请在右侧选择其他文件夹。</translation>
    </message>
    <message>
        <source>Device and threads change with the next start.</source>
        <translation>设备和线程将在下次开始时更改。</translation>
    </message>
    <message>
        <source>{done} of {total} done</source>
        <translation>已完成 {done} / {total}</translation>
    </message>
    <message>
        <source>No pictures yet</source>
        <translation>还没有图片</translation>
    </message>
    <message>
        <source>{count} failed</source>
        <translation>{count} 个失败</translation>
    </message>
    <message>
        <source>No new pictures there.</source>
        <translation>没有新的图片。</translation>
    </message>
    <message>
        <source>estimating the time</source>
        <translation>正在估计时间</translation>
    </message>
    <message>
        <source>about {time} left</source>
        <translation>约剩 {time}</translation>
    </message>
    <message>
        <source>stopped: Start goes on with the rest</source>
        <translation>已停止:点“开始”继续其余图片</translation>
    </message>
    <message>
        <source>Picture kind</source>
        <translation>图片类型</translation>
    </message>
    <message>
        <source>Size limit</source>
        <translation>尺寸限制</translation>
    </message>
    <message>
        <source>Lens correction</source>
        <translation>镜头校正</translation>
    </message>
    <message>
        <source>Stray pixels</source>
        <translation>坏点修复</translation>
    </message>
    <message>
        <source>Restoration</source>
        <translation>修复</translation>
    </message>
    <message>
        <source>JPEG artefacts</source>
        <translation>JPEG 瑕疵</translation>
    </message>
    <message>
        <source>Scratches</source>
        <translation>划痕</translation>
    </message>
    <message>
        <source>Fading</source>
        <translation>褪色</translation>
    </message>
    <message>
        <source>Exposure</source>
        <translation>曝光</translation>
    </message>
    <message>
        <source>Colour cast</source>
        <translation>偏色</translation>
    </message>
    <message>
        <source>Enlarging</source>
        <translation>放大</translation>
    </message>
    <message>
        <source>Artefact guard</source>
        <translation>瑕疵防护</translation>
    </message>
    <message>
        <source>Colours kept</source>
        <translation>颜色保持</translation>
    </message>
    <message>
        <source>Local contrast</source>
        <translation>局部对比度</translation>
    </message>
    <message>
        <source>Tone</source>
        <translation>色调</translation>
    </message>
    <message>
        <source>Sharpening</source>
        <translation>锐化</translation>
    </message>
    <message>
        <source>Saved as {path}</source>
        <translation>已保存为 {path}</translation>
    </message>
    <message>
        <source>The other pictures are not affected. Mend the cause and choose “Try again”, or remove the picture.</source>
        <translation>其他图片不受影响。排除原因后选择“重试”,或移除此图片。</translation>
    </message>
    <message>
        <source>Failed: {reason}</source>
        <translation>失败:{reason}</translation>
    </message>
    <message>
        <source>Against the truth: PSNR {psnr} dB, SSIM {ssim}</source>
        <translation>与参考相比:PSNR {psnr} dB,SSIM {ssim}</translation>
    </message>
    <message>
        <source>Plain enlarging: PSNR {psnr} dB</source>
        <translation>普通放大:PSNR {psnr} dB</translation>
    </message>
</context>
</TS>
